# Writes discrimination.csv, a made-up cohort, and discrimination.json, what R says of it:
#   Rscript tests/reference/make_discrimination.R
# from the root of the checkout, with the packages pROC, survival, ipred and jsonlite.
library(pROC)
library(survival)
library(ipred)
library(jsonlite)

set.seed(20)
n <- 120
latent <- rnorm(n)
target <- rbinom(n, 1, plogis(-0.7 + 1.2 * latent))
a <- round(plogis(-0.5 + latent + rnorm(n)), 2) # two decimals, so that there are ties
b <- round(plogis(-0.5 + 0.4 * latent + rnorm(n)), 2)
died <- rexp(n, exp(0.9 * latent) / 200)
left <- runif(n, 20, 600)
risk <- round(plogis(latent + rnorm(n)), 2)
time <- round(pmin(died, left), 4)
event <- as.integer(died <= left)
table <- data.frame(target, a, b, time, event, risk, days = ceiling(time / 10)) # days: events and ends at one time
write.csv(table, "tests/reference/discrimination.csv", row.names = FALSE)
table <- read.csv("tests/reference/discrimination.csv")
stopifnot(!anyDuplicated(table$time))

roc_a <- roc(table$target, table$a, levels = c(0, 1), direction = "<", quiet = TRUE)
roc_b <- roc(table$target, table$b, levels = c(0, 1), direction = "<", quiet = TRUE)
paired <- roc.test(roc_a, roc_b, method = "delong", paired = TRUE)
ci_a <- ci.auc(roc_a, method = "delong")

concordances <- function(time) {
  obs <- data.frame(time, event = table$event, risk = table$risk)
  of <- function(weight) unname(concordance(Surv(time, event) ~ risk, data = obs, reverse = TRUE, timewt = weight)$concordance)
  list(c_index = of("n"), uno = of("n/G2"))
}

# Cumulative cases, dynamic controls, pair by pair; 1 / G(t-) from survfit of the ends of observation (Uno 2007).
dynamic_auc <- function(at, time, event, risk) {
  # an event that shares its time with an end of observation comes first
  ends <- survfit(Surv(time + 1e-6 * (1 - event), 1 - event) ~ 1)
  before <- function(t) summary(ends, times = t - 1e-9, extend = TRUE)$surv
  up <- down <- 0
  for (i in which(event == 1 & time <= at)) {
    for (j in which(time > at)) {
      weight <- 1 / before(time[i])
      up <- up + weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
      down <- down + weight
    }
  }
  up / down
}

horizons <- c(100, 200, 350)
curve <- survfit(Surv(time, event) ~ 1, data = table)
surv <- Surv(table$time, table$event)
brier <- sapply(horizons, function(t) unname(sbrier(surv, 1 - table$risk, t))[1])
said <- list(
  made_by = R.version.string,
  packages = as.list(sapply(c("pROC", "survival", "ipred"), function(p) as.character(packageVersion(p)))),
  auc = list(a = as.numeric(auc(roc_a)), b = as.numeric(auc(roc_b))),
  variance = list(a = var(roc_a, method = "delong"), b = var(roc_b, method = "delong")),
  covariance = cov(roc_a, roc_b, method = "delong"),
  interval_a = c(ci_a[1], ci_a[3]),
  paired_p = paired$p.value,
  paired_z = unname(paired$statistic),
  concordance = list(time = concordances(table$time), days = concordances(table$days)),
  kaplan_meier = list(times = horizons, survival = summary(curve, times = horizons)$surv),
  horizons = horizons,
  dynamic_auc = sapply(horizons, dynamic_auc, table$time, table$event, table$risk),
  dynamic_auc_ties = sapply(c(10, 20, 35), dynamic_auc, table$days, table$event, table$risk),
  brier = brier
)
write(toJSON(said, digits = 15, auto_unbox = TRUE, pretty = TRUE), "tests/reference/discrimination.json")

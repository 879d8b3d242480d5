# Writes evaluation.csv, a made-up cohort, and evaluation.json, what R says of it:
#   Rscript tests/reference/make_evaluation.R
# from the root of the checkout, with the packages rms, survival and jsonlite.
suppressPackageStartupMessages({
  library(rms)
  library(survival)
  library(jsonlite)
})

set.seed(7)
n <- 160
latent <- rnorm(n)
target <- rbinom(n, 1, plogis(-0.8 + latent))
probability <- round(plogis(-0.3 + 1.7 * latent + rnorm(n, sd = 0.5)), 3) # too sure and too high
probability <- pmin(pmax(probability, 0.001), 0.999)
died <- rexp(n, exp(0.9 * latent) / 200)
left <- runif(n, 20, 600)
time <- ceiling(pmin(died, left)) # whole days, so that events and ends fall together
event <- as.integer(died <= left)
value <- round(50 + 8 * latent + rnorm(n, sd = 4), 2)
predicted <- round(48 + 10 * latent, 2)
write.csv(data.frame(target, probability, time, event, value, predicted), "tests/reference/evaluation.csv", row.names = FALSE)
table <- read.csv("tests/reference/evaluation.csv")

logit <- qlogis(table$probability)
tight <- glm.control(epsilon = 1e-14, maxit = 100)
cox <- glm(table$target ~ logit, family = binomial, control = tight)
large <- glm(table$target ~ offset(logit), family = binomial, control = tight)
val <- val.prob(table$probability, table$target, pl = FALSE)
line <- lm(value ~ predicted, data = table)

threshold <- 0.4
called <- table$probability >= threshold
ill <- table$target == 1
wilson <- function(has) {
  limits <- prop.test(sum(has), length(has), correct = FALSE)$conf.int
  list(value = mean(has), low = limits[1], high = limits[2])
}
net_benefit <- function(t) {
  at <- table$probability >= t
  mean(at & ill) - mean(at & !ill) * t / (1 - t)
}
treat_all <- function(t) mean(ill) - mean(!ill) * t / (1 - t)
bayes <- function(prevalence) {
  hit <- mean(called[ill])
  spared <- mean(!called[!ill])
  list(
    prevalence = prevalence,
    ppv = hit * prevalence / (hit * prevalence + (1 - spared) * (1 - prevalence)),
    npv = spared * (1 - prevalence) / (spared * (1 - prevalence) + (1 - hit) * prevalence)
  )
}
thresholds <- seq(1, 99) / 100
horizons <- c(60, 150, 300)
km <- summary(survfit(Surv(time, event) ~ 1, data = table), times = horizons)
# The chance to be still observed; of an event and an end at one time, the event came first.
ends <- survfit(Surv(time + 0.5 * (1 - event), 1 - event) ~ 1, data = table)
lasts <- function(at) summary(ends, times = at - 1e-6, extend = TRUE)$surv
survival_benefit <- function(t, horizon) {
  died_by <- table$event == 1 & table$time <= horizon
  beyond <- table$time >= horizon & !died_by
  weight <- ifelse(died_by, 1 / vapply(table$time, lasts, 0), ifelse(beyond, 1 / lasts(horizon), 0))
  at <- table$probability >= t
  sum(weight * (at & died_by)) / n - sum(weight * (at & !died_by)) / n * t / (1 - t)
}

write_json(
  list(
    threshold = threshold,
    wilson = list(
      sensitivity = wilson(called[ill]),
      specificity = wilson(!called[!ill]),
      ppv = wilson(ill[called]),
      npv = wilson(!ill[!called])
    ),
    lr_positive = mean(called[ill]) / mean(called[!ill]),
    lr_negative = mean(!called[ill]) / mean(!called[!ill]),
    bayes = lapply(c(0.01, 0.2, 0.5), bayes),
    intercept = unname(coef(cox)[1]),
    slope = unname(coef(cox)[2]),
    in_the_large = unname(coef(large)[1]),
    val_prob = as.list(val[c("Intercept", "Slope", "Brier")]),
    brier = mean((table$probability - table$target)^2),
    brier_skill = 1 - mean((table$probability - table$target)^2) / (mean(ill) * (1 - mean(ill))),
    line_intercept = unname(coef(line)[1]),
    line_slope = unname(coef(line)[2]),
    net_benefit = vapply(thresholds, net_benefit, 0),
    treat_all = vapply(thresholds, treat_all, 0),
    horizons = horizons,
    observed_risk = 1 - km$surv,
    survival_thresholds = c(0.1, 0.3, 0.6),
    survival_benefit = lapply(horizons, function(h) vapply(c(0.1, 0.3, 0.6), survival_benefit, 0, horizon = h))
  ),
  "tests/reference/evaluation.json",
  auto_unbox = TRUE, digits = NA, pretty = TRUE
)

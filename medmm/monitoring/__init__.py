"""A model in use, held against what it saw before it left: drift, rates, calibration."""

"""Medical multimodal diagnosis: from a folder of studies to scored patients. Research software, not a medical device."""

__version__ = "0.1.0"

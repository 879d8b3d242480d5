"""What has been scored, kept so that nothing is lost, doubled or mixed whatever is killed."""

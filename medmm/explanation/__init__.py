"""Why a model says what it says of one study: one object over all of its inputs, and the page that shows it."""

"""One module for each framework; importing one needs its extra installed."""

# Everything is in ./do; this only forwards. Arguments: make test ARGS="-k trace"
.PHONY: help setup demo test lint clean
help setup demo test lint clean:
	@./do $@ $(ARGS)

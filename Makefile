# Everything is in ./do; this only forwards. Arguments: make test ARGS="-k trace"
.PHONY: help setup demo test gallery lint clean
help setup demo test gallery lint clean:
	@./do $@ $(ARGS)

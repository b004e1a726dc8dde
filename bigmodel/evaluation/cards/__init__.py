"""What a model card says of each task; ``evaluation.report`` puts it together. Every module has the same names.

FILES                       file of a model folder -> what it is
TOKENS                      what tokens of the training are counted
LOSS, VALIDATION            units of the last training loss and of the best validation
PUBLISHED                   what is known of the training text where all of it is published
shape(config, size)         the model in one or two sentences
samples(shown)              Markdown blocks of the samples of one engine
table(entries, engines)     lines of the table of figures
explanations(entries)       what the reader has to know of the figures
limits(card, config)        what the model cannot do
memorisation(metrics)       what is known of training text that comes out again
usage(card, metrics)        how to load the model
"""

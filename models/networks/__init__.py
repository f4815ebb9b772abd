"""The networks: layers, attention, language models, acceptors, transducers, encoder-decoders."""

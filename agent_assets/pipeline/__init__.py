"""The asset graph of one agent: the component, its typed config, and one module per stage."""

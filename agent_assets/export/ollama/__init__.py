"""Files for Ollama: the chat template as Go writes templates, and the Modelfile."""

"""One module for each agent or protocol. What is in this folder can be driven: nothing else lists the adapters."""

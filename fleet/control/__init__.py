"""The smallest control plane: it enrols devices, assigns artifacts, and believes what devices say that they run."""

"""Model files on the kernels of arm64 CPUs that qemu emulates: accuracy without a device, and never a latency."""

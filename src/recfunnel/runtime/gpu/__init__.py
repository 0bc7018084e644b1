"""Parts of the runtime on a GPU; they need torch, so only `runtime.torch_cuda` loads them."""

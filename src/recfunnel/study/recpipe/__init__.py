"""RecPipe's accelerator figures: published, by the published model, and by ours."""

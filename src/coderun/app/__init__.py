"""How is it wired? Settings, assembly, workers."""

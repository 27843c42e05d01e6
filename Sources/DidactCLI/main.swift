print("didact")

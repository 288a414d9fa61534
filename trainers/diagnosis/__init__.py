"""What is installed, what works and what is wrong; standard library alone, so that nothing it looks at can end it."""

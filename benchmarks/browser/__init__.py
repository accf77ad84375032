"""Pages looked at in a headless Chromium, as their readers see them."""

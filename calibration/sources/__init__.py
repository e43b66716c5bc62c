"""Where samples come from: arrays, tables, folders of images and audio, a function of the user's."""

"""Images from wherever users keep them: files, folders, IDX, arrays, ``.cae``, data sets by name."""

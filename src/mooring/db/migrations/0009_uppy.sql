-- Files whose size nobody said: it grows with each part that comes through us, until the client says that this is all.
ALTER TABLE uploads ADD COLUMN size_is_open boolean NOT NULL DEFAULT false;

-- How often work on a file failed since it arrived, or since somebody had it tried once more. The queue's own count will not
-- do: it also counts what a worker hands back when it stops, and the times that storage was away.
ALTER TABLE uploads ADD COLUMN failed_tries smallint NOT NULL DEFAULT 0;

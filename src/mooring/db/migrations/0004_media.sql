-- Recordings and videos have renditions too: what is heard has no size in pixels ---------------------------------------
ALTER TABLE renditions
    DROP CONSTRAINT renditions_name_check,
    ADD CONSTRAINT known_name CHECK (name IN ('thumb', 'large', 'clean', 'audio', 'peaks', 'poster', '720p')),
    ALTER COLUMN width DROP NOT NULL,
    ALTER COLUMN height DROP NOT NULL,
    ADD CONSTRAINT what_is_seen_has_a_size CHECK (
        (width IS NULL) = (name IN ('audio', 'peaks')) AND (height IS NULL) = (width IS NULL));

-- How far processing is, in percent. NULL: nobody knows.
ALTER TABLE uploads ADD COLUMN progress smallint CHECK (progress BETWEEN 0 AND 100);

-- The turn that somebody's last job of a name has in its line (jobs/turns.py). Of lines that are empty nothing is kept.
CREATE TABLE turns (
    line       integer NOT NULL,
    entrypoint text NOT NULL,
    user_id    bigint NOT NULL,
    last       integer NOT NULL,
    PRIMARY KEY (line, entrypoint, user_id)
);

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

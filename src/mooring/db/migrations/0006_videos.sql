-- Files that come in parts ---------------------------------------------------------------------------------------------

ALTER TABLE uploads
    ADD COLUMN part_size bigint CHECK (part_size > 0),  -- every part has so many bytes, the last what is left
    -- What it belongs to in the client's own application, a number or a text. It travels with the job.
    ADD COLUMN project_id jsonb CHECK (jsonb_typeof(project_id) IN ('number', 'string')),
    ADD CONSTRAINT only_what_comes_in_parts_is_a_multipart CHECK (multipart_id IS NULL OR part_size IS NOT NULL);

-- A video's id is its upload's id.
CREATE TABLE videos (
    id               bigint PRIMARY KEY REFERENCES uploads ON DELETE CASCADE,
    metadata         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    duration_seconds double precision,
    width            integer,
    height           integer,
    video_codec      text,
    audio_codec      text
);

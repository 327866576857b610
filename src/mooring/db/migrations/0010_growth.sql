-- How many photos somebody has, kept where what they use is kept and by the same statements: counting the uploads
-- themselves would read all of them every minute.
ALTER TABLE quotas ADD COLUMN photos bigint NOT NULL DEFAULT 0 CHECK (photos >= 0);
UPDATE quotas q SET photos = n.photos
FROM (SELECT uploader_id, count(*) AS photos FROM uploads
      WHERE kind = 'photo' AND processing_status IN ('UPLOADED', 'PROCESSING', 'COMPLETED', 'FAILED')
      GROUP BY uploader_id) n
WHERE q.user_id = n.uploader_id;

-- What the last aggregation counted: whoever finds it old counts anew, and all instances show it.
CREATE TABLE growth (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    taken_at timestamptz NOT NULL,
    counted  jsonb
);
INSERT INTO growth (taken_at) VALUES ('epoch');

-- A page of somebody's videos is not a walk through all their photos.
CREATE INDEX videos_of_user ON uploads (uploader_id, id) WHERE kind = 'video';

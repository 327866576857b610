SELECT u.* FROM uploads u
LEFT JOIN records r ON u.id = r.upload_id
WHERE u.directory = 'recordings'
AND u.processing_status = 'UPLOADED'
AND r.id IS NULL
AND u.created_at < NOW() - INTERVAL '10 minutes';

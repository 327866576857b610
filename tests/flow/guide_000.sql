SELECT COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL;

SELECT user_id, COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL
GROUP BY user_id;

SELECT album_id, COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL
GROUP BY album_id;

SELECT upload_id, user_id, album_id, issued_at, expires_at
FROM temp_upload_records
WHERE issued_at >= CURRENT_DATE
  AND expires_at < NOW()
  AND completed_at IS NULL
ORDER BY expires_at;

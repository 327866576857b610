function getDuration(file) {
    return new Promise((resolve) => {
        const audio = document.createElement('audio');
        audio.src = URL.createObjectURL(file);

        audio.addEventListener('loadedmetadata', () => {
            const duration = Math.floor(audio.duration);
            resolve(duration);
            URL.revokeObjectURL(audio.src);
        });
    });
}

class RecordingService {
    async startRecording() {
        this.startTime = Date.now();
        // MediaRecorder 시작...
    }

    async stopRecording() {
        const endTime = Date.now();
        const durationSeconds = Math.floor((endTime - this.startTime) / 1000);

        // 1. Presigned URL 요청
        const uploadResponse = await this.requestPresignedUrl(
            this.audioBlob,
            durationSeconds
        );

        // 2. S3 업로드
        await this.uploadToS3(uploadResponse.presignedUrl, this.audioBlob);

        // 3. 사용자 제목 입력 대기
        const title = await this.showTitleDialog();

        // 4. Record 생성
        const record = await this.createRecord({
            title,
            uploadId: uploadResponse.uploadId,
            durationSeconds
        });

        return record;
    }

    async requestPresignedUrl(audioBlob, durationSeconds) {
        const formData = new FormData();
        formData.append('originalFilename', 'recording.mp3');
        formData.append('fileSize', audioBlob.size);
        formData.append('contentType', 'audio/mpeg');
        formData.append('durationSeconds', durationSeconds);

        const response = await fetch('/records/async/presigned-url', {
            method: 'POST',
            headers: { 'Authorization': `Bearer ${this.token}` },
            body: formData
        });

        return response.json();
    }

    async uploadToS3(presignedUrl, audioBlob) {
        return fetch(presignedUrl, {
            method: 'PUT',
            body: audioBlob,
            headers: { 'Content-Type': 'audio/mpeg' }
        });
    }

    async createRecord(recordData) {
        const response = await fetch('/records/async', {
            method: 'POST',
            headers: {
                'Authorization': `Bearer ${this.token}`,
                'Content-Type': 'application/json'
            },
            body: JSON.stringify(recordData)
        });

        return response.json();
    }
}

class FileUploadService {
    async uploadExternalFile(file) {
        // 1. Duration 계산
        const durationSeconds = await getDuration(file);

        // 2. Presigned URL 요청
        const uploadResponse = await this.requestPresignedUrl(file, durationSeconds);

        // 3. S3 업로드 (백그라운드)
        const uploadPromise = this.uploadToS3(uploadResponse.presignedUrl, file);

        // 4. 사용자 제목 입력 (업로드와 병렬)
        const titlePromise = this.showTitleDialog();

        // 5. 둘 다 완료 대기
        await uploadPromise;
        const title = await titlePromise;

        // 6. Record 생성
        const record = await this.createRecord({
            title,
            uploadId: uploadResponse.uploadId,
            durationSeconds
        });

        return record;
    }
}

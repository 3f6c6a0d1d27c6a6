//! Bringing a payload in: resumed where it broke off, verified while it arrives, named when it is whole.

use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use xinqiao_evidence::manifest::{Manifest, PayloadError, PayloadVerifier, VerifiedManifest};

use super::{Puller, folder};
use crate::client::{build, segment};
use crate::error::{ClientError, unverified};

const BLOCK: usize = 256 << 10;

impl Puller {
    /// The verified payload's path.
    pub(super) async fn fetch(&self, manifest: &VerifiedManifest) -> Result<PathBuf, ClientError> {
        let said = manifest.manifest();
        let name = folder::payload(said.seq, said.payload.media_type);
        let path = self.folder.path(&name);
        // Stored before, but the state had not moved on.
        if path.exists() && self.check_stored(manifest, &path, |_, _| {}).is_ok() {
            return Ok(path);
        }
        let resumed = self.folder.path(&folder::part(said.seq)).exists();
        let mut result = self.client.retry().run(|| self.download(manifest)).await;
        if resumed && matches!(&result, Err(error) if error.is_verification()) {
            // What was left of an earlier attempt may be what is wrong.
            result = self.client.retry().run(|| self.download(manifest)).await;
        }
        result?;
        self.folder.publish(&folder::part(said.seq), &name)?;
        Ok(path)
    }

    /// Verifies a stored payload; `line` sees its lines before the verdict.
    pub(super) fn check_stored(
        &self,
        manifest: &VerifiedManifest,
        path: &Path,
        mut line: impl FnMut(u64, &[u8]),
    ) -> Result<(), ClientError> {
        let failed = |error: PayloadError| unverified(path.display().to_string(), &error);
        let mut verifier = PayloadVerifier::new(manifest, self.settings.limits).map_err(failed)?;
        let mut file = File::open(path).map_err(|error| ClientError::local(path, error))?;
        let mut block = vec![0; BLOCK];
        loop {
            match file.read(&mut block) {
                Ok(0) => break,
                Ok(count) => verifier.feed(&block[..count], &mut line).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ClientError::local(path, error)),
            }
        }
        verifier.finish().map(drop).map_err(failed)
    }

    /// One attempt, from wherever the last one stopped. What does not verify is thrown away.
    async fn download(&self, manifest: &VerifiedManifest) -> Result<(), ClientError> {
        let name = folder::part(manifest.manifest().seq);
        let mut part = Part::open(self.folder.path(&name), manifest, self)?;
        match self.complete(manifest, &mut part).await {
            Err(error) if error.is_verification() => {
                self.folder.remove(&name)?;
                Err(error)
            }
            other => other,
        }
    }

    async fn complete(&self, manifest: &VerifiedManifest, part: &mut Part) -> Result<(), ClientError> {
        let said = manifest.manifest();
        let failed = |error: PayloadError| self.at(&said.seq.to_string(), unverified("payload", &error));
        if part.length < said.payload.bytes {
            let response = self.ask_for(said, part.length).await?;
            // A gateway may answer a range with the whole: appended to what is there it would only fail the digest.
            if part.length > 0 && !continues(&response, part.length) {
                part.restart(manifest, self)?;
            }
            let mut body = response.into_body();
            while let Some(piece) = self.client.transport().frame(&mut body).await? {
                part.verifier.feed(&piece, |_, _| {}).map_err(failed)?;
                part.append(&piece)?;
            }
        }
        let verifier = PayloadVerifier::new(manifest, self.settings.limits).map_err(failed)?;
        std::mem::replace(&mut part.verifier, verifier).finish().map_err(failed)?;
        // Before it gets its name: under that name a payload counts as stored.
        part.file.sync_all().map_err(|error| ClientError::local(&part.path, error))
    }

    async fn ask_for(&self, manifest: &Manifest, from: u64) -> Result<Response<Incoming>, ClientError> {
        let path = format!("/v1/streams/{}/batches/{}/payload", segment(&manifest.stream)?, manifest.seq);
        let transport = self.client.transport();
        let mut request = transport.request(Method::GET, &path);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        transport.open(build(request.body(Full::new(Bytes::new())))?, Duration::ZERO).await
    }
}

/// Whether the answer goes on at `from`, rather than beginning anew.
fn continues(response: &Response<Incoming>, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// A payload on its way, with the verifier that has seen all of it so far.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    verifier: PayloadVerifier,
}

impl Part {
    fn open(path: PathBuf, manifest: &VerifiedManifest, puller: &Puller) -> Result<Self, ClientError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| ClientError::local(&path, error))?;
        let verifier = fresh(manifest, puller)?;
        let mut part = Self { path, file, length: 0, verifier };
        if part.replay().is_err() {
            part.restart(manifest, puller)?;
        }
        Ok(part)
    }

    /// Shows the verifier what an earlier attempt left.
    fn replay(&mut self) -> Result<(), ClientError> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = self.file.read(&mut block).map_err(|error| ClientError::local(&self.path, error))?;
            if count == 0 {
                return Ok(());
            }
            let feeding = self.verifier.feed(&block[..count], |_, _| {});
            feeding.map_err(|error| unverified("payload", &error))?;
            self.length += count as u64;
        }
    }

    fn restart(&mut self, manifest: &VerifiedManifest, puller: &Puller) -> Result<(), ClientError> {
        self.verifier = fresh(manifest, puller)?;
        self.length = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(|error| ClientError::local(&self.path, error))
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), ClientError> {
        self.length += piece.len() as u64;
        self.file.write_all(piece).map_err(|error| ClientError::local(&self.path, error))
    }
}

fn fresh(manifest: &VerifiedManifest, puller: &Puller) -> Result<PayloadVerifier, ClientError> {
    PayloadVerifier::new(manifest, puller.settings.limits).map_err(|error| unverified("payload", &error))
}

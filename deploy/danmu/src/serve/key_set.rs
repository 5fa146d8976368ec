//! The file with the public keys of tokens, read again when it changes.
//!
//! Whoever issues tokens changes its keys without asking this process. A file that cannot be read or
//! used leaves the keys as they were: it may be in the middle of being written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use danmu_ingest::Identity;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
pub const CHECKED_EVERY: Duration = Duration::from_secs(5);

/// The file, and the identity that takes its keys.
pub struct KeySetFile {
    path: PathBuf,
    /// What the file held when it was last read.
    json: Vec<u8>,
    identity: Arc<Identity>,
}

impl KeySetFile {
    /// Reads the file for the first time.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let json = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let identity = Identity::of_key_set(&json);
        let identity = identity.with_context(|| format!("key set {}", path.display()))?;
        Ok(Self {
            path,
            json,
            identity: Arc::new(identity),
        })
    }

    /// Takes tokens of the file's keys.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Looks at the file until `stop`.
    pub async fn follow(mut self, every: Duration, stop: CancellationToken) {
        let pause = async || tokio::time::sleep(every).await;
        while stop.run_until_cancelled(pause()).await.is_some() {
            self.read_again().await;
        }
    }

    async fn read_again(&mut self) {
        let path = self.path.display();
        let json = match tokio::fs::read(&self.path).await {
            Ok(json) if json == self.json => return,
            Ok(json) => json,
            Err(error) => return tracing::warn!(%path, %error, "the key set is not read"),
        };
        match self.identity.replace_key_set(&json) {
            Ok(()) => tracing::info!(%path, "the key set is replaced"),
            Err(error) => tracing::warn!(%path, %error, "the key set stays as it was"),
        }
        self.json = json;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[tokio::test]
    async fn a_changed_file_changes_the_keys_and_a_broken_one_does_not() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |json: &str| std::fs::write(file.path(), json).expect("a written file");
        write("{");
        assert!(KeySetFile::open(file.path().to_owned()).is_err());
        write(ONE);
        let mut key_set = KeySetFile::open(file.path().to_owned()).expect("a key set");
        write("{");
        key_set.read_again().await;
        let keys = format!("{:?}", key_set.identity());
        let two = ONE.replace(
            "]}",
            r#",{"kty":"OKP","crv":"Ed25519","kid":"two",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        );
        write(&two);
        key_set.read_again().await;
        let after = format!("{:?}", key_set.identity());
        assert_eq!(keys.matches("EdDSA").count(), 1, "{keys}");
        assert_eq!(after.matches("EdDSA").count(), 2, "{after}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_following() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), ONE).expect("a written file");
        let key_set = KeySetFile::open(file.path().to_owned()).expect("a key set");
        let stop = CancellationToken::new();
        let following = tokio::spawn(key_set.follow(CHECKED_EVERY, stop.clone()));
        stop.cancel();
        following.await.expect("an end");
    }
}

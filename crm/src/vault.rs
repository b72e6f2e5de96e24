//! Secrets that have to be read again, such as those that sign webhooks: kept sealed, by AES-256-GCM under a key that
//! stands in no table.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use uuid::Uuid;

/// The fewest characters of a key.
const LEAST: usize = 32;
/// How many bytes of a key's hash tell which one sealed something.
const NAME: usize = 4;

/// Seals with the first of its keys, and opens with any; the default has none, and opens nothing.
#[derive(Clone)]
pub struct Vault(Arc<[Sealing]>);

impl Default for Vault {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

struct Sealing {
    name: [u8; NAME],
    key: LessSafeKey,
    deriving: hmac::Key,
}

/// Why something is not opened, or not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// None of the keys sealed it.
    #[error(
        "it was sealed with a key that ENCRYPTION_KEY does not hold; add that behind the new one"
    )]
    UnknownKey,
    /// There is none.
    #[error("ENCRYPTION_KEY is not set; set it, the same for all processes")]
    NoKey,
    /// It is not what was sealed.
    #[error("what is kept was not sealed here, or has been changed")]
    Broken,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl Vault {
    /// One of keys, the newest first, each of at least 32 characters.
    ///
    /// # Errors
    /// What is wrong with the keys, in a fragment that says what to write.
    pub fn of(keys: &[&str]) -> Result<Self, String> {
        if keys.is_empty() {
            return Err("holds no key; write at least 32 characters".into());
        }
        keys.iter().map(|key| Sealing::of(key)).collect::<Result<_, _>>().map(Self)
    }

    /// Seals a secret of a record; it opens as the same record's alone.
    ///
    /// # Errors
    /// `NoKey` or `NoRandomness`.
    pub fn seal(&self, record: Uuid, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let sealing = self.0.first().ok_or(VaultError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let mut sealed = secret.to_vec();
        let with = (Nonce::assume_unique_for_key(nonce), Aad::from(record.into_bytes()));
        sealing
            .key
            .seal_in_place_append_tag(with.0, with.1, &mut sealed)
            .map_err(|_| VaultError::Broken)?;
        Ok([sealing.name.as_slice(), &nonce, &sealed].concat())
    }

    /// A secret that follows from the newest key and from what it is for: the same each time, and of no use for
    /// anything else. Nobody can compute it who has only the database.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn derive(&self, purpose: &str, record: Uuid, about: &str) -> Result<[u8; 32], VaultError> {
        let sealing = self.0.first().ok_or(VaultError::NoKey)?;
        let mut context = hmac::Context::with_key(&sealing.deriving);
        for part in [purpose.as_bytes(), record.as_bytes(), about.as_bytes()] {
            // Its length before each part, so that no two lists of parts are the same bytes.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut secret = [0; 32];
        secret.copy_from_slice(context.sign().as_ref());
        Ok(secret)
    }

    /// Opens a secret of a record.
    ///
    /// # Errors
    /// `UnknownKey` or `Broken`.
    pub fn open(&self, record: Uuid, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (name, rest) = sealed.split_at_checked(NAME).ok_or(VaultError::Broken)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(VaultError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Broken)?;
        let known = self.0.iter().find(|sealing| sealing.name == name);
        let known = known.ok_or(VaultError::UnknownKey)?;
        let mut opened = sealed.to_vec();
        let secret = known.key.open_in_place(nonce, Aad::from(record.into_bytes()), &mut opened);
        secret.map(|secret| secret.to_vec()).map_err(|_| VaultError::Broken)
    }
}

impl Sealing {
    fn of(key: &str) -> Result<Self, String> {
        let length = key.chars().count();
        if length < LEAST {
            return Err(format!("has a key of {length} characters; write at least {LEAST}"));
        }
        let hash = digest::digest(&digest::SHA256, key.as_bytes());
        // Another key than the one that seals, so that neither tells anything of the other.
        let deriving =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, hash.as_ref()), b"derived secrets");
        let deriving = hmac::Key::new(hmac::HMAC_SHA256, deriving.as_ref());
        let key = UnboundKey::new(&AES_256_GCM, hash.as_ref())
            .map_err(|_| "can't be used as a key".to_owned())?;
        // The name is of a hash of the key that is used, and tells nothing of it.
        let name = digest::digest(&digest::SHA256, hash.as_ref());
        let mut short = [0; NAME];
        short.copy_from_slice(&name.as_ref()[..NAME]);
        Ok(Self { name: short, key: LessSafeKey::new(key), deriving })
    }
}

#[cfg(test)]
mod tests {
    use super::{Uuid, Vault, VaultError};

    const OLD: &str = "an old key of thirty-two letters";
    const NEW: &str = "a new key of thirty-two letters!";

    #[test]
    fn what_was_sealed_opens_under_an_old_key_and_as_the_same_record_alone() {
        let record = Uuid::from_u128(7);
        let old = Vault::of(&[OLD]).expect("a key");
        let sealed = old.seal(record, b"whsec").expect("it seals");
        assert_ne!(old.seal(record, b"whsec").expect("it seals"), sealed, "no two are alike");
        assert!(!sealed.windows(5).any(|part| part == b"whsec"));
        let both = Vault::of(&[NEW, OLD]).expect("keys");
        assert_eq!(both.open(record, &sealed), Ok(b"whsec".to_vec()));
        assert_eq!(both.open(Uuid::from_u128(8), &sealed), Err(VaultError::Broken));
        let new = Vault::of(&[NEW]).expect("a key");
        assert_eq!(new.open(record, &sealed), Err(VaultError::UnknownKey));
        let mut changed = sealed.clone();
        *changed.last_mut().expect("bytes") ^= 1;
        assert_eq!(old.open(record, &changed), Err(VaultError::Broken));
        assert_eq!(old.open(record, b"short"), Err(VaultError::Broken));
    }

    #[test]
    fn a_derived_secret_is_the_same_each_time_and_for_one_purpose_alone() {
        let (vault, record) = (Vault::of(&[NEW, OLD]).expect("keys"), Uuid::from_u128(7));
        let secret = vault.derive("link", record, "run").expect("a key");
        assert_eq!(Vault::of(&[NEW]).expect("a key").derive("link", record, "run"), Ok(secret));
        for other in [
            vault.derive("links", record, "un"),
            vault.derive("link", Uuid::from_u128(8), "run"),
            vault.derive("link", record, "run2"),
            Vault::of(&[OLD]).expect("a key").derive("link", record, "run"),
        ] {
            assert_ne!(other, Ok(secret));
        }
        assert_eq!(Vault::default().derive("link", record, "run"), Err(VaultError::NoKey));
        assert_eq!(Vault::default().seal(record, b"whsec"), Err(VaultError::NoKey));
    }

    #[test]
    fn a_short_key_is_refused_with_what_to_write() {
        let refused = Vault::of(&[NEW, "short"]).err();
        assert_eq!(refused.as_deref(), Some("has a key of 5 characters; write at least 32"));
    }
}

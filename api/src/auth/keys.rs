//! The keys of access tokens: the first signs, all of them verify, so that a key can be changed while tokens of the
//! one before are about. The algorithm is the key's, never the token's.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::rsa::PublicKeyComponents;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::crypto;

/// The fewest bytes of a secret.
const SECRET_BYTES: usize = 32;
/// The most keys at once.
const MOST: usize = 4;

/// A key of its own kind.
pub(super) struct Key {
    /// Names it in a token's header: a hash of its public part, or of the secret.
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
    /// Its public part as a JSON web key (RFC 7517); none of a secret.
    public: Option<Value>,
}

/// All keys that are good, the one that signs first.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Secrets for HS256, newest first.
    ///
    /// # Errors
    /// What is wrong with them, never they themselves.
    pub fn secrets(secrets: &[&str]) -> Result<Self, String> {
        let keys: Vec<Key> = secrets.iter().copied().map(secret).collect::<Result<_, String>>()?;
        Self::of(keys)
    }

    /// Private keys in PEM (PKCS #8), one after another, newest first: Ed25519 for EdDSA, RSA of 2048 bits and more
    /// for RS256.
    ///
    /// # Errors
    /// What is wrong with them, never they themselves.
    pub fn private(text: &str) -> Result<Self, String> {
        let keys: Vec<Key> =
            blocks(text)?.iter().map(|der| private(der)).collect::<Result<_, String>>()?;
        Self::of(keys)
    }

    fn of(keys: Vec<Key>) -> Result<Self, String> {
        crypto::install();
        match keys.len() {
            0 => Err("there is no key in it".into()),
            1..=MOST => Ok(Self(keys)),
            more => Err(format!("there are {more} keys in it; {MOST} are the most")),
        }
    }

    /// The one that signs.
    pub(super) fn signing(&self) -> &Key {
        &self.0[0]
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Key] {
        &self.0
    }

    /// The public parts, as `/.well-known/jwks.json` shows them; of secrets there are none.
    pub(crate) fn public(&self) -> Value {
        let keys: Vec<&Value> = self.0.iter().filter_map(|key| key.public.as_ref()).collect();
        json!({ "keys": keys })
    }

    /// A secret of its own for another purpose, from the key that signs: neither can pass for the other.
    pub(crate) fn derived(&self, purpose: &str) -> hmac::Key {
        derived(self.signing(), purpose)
    }

    /// Such a secret from each key, that of the key that signs first.
    pub(crate) fn all_derived(&self, purpose: &str) -> Vec<hmac::Key> {
        self.all().iter().map(|key| derived(key, purpose)).collect()
    }
}

fn derived(key: &Key, purpose: &str) -> hmac::Key {
    let of = hmac::Key::new(hmac::HMAC_SHA256, key.signing.as_bytes());
    let tag = hmac::sign(&of, purpose.as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

fn secret(secret: &str) -> Result<Key, String> {
    if secret.len() < SECRET_BYTES {
        return Err(format!("has {} characters; write at least {SECRET_BYTES}", secret.len()));
    }
    Ok(Key {
        id: id(format!("HS256 {secret}").as_bytes()),
        algorithm: Algorithm::HS256,
        signing: EncodingKey::from_secret(secret.as_bytes()),
        verifying: DecodingKey::from_secret(secret.as_bytes()),
        public: None,
    })
}

fn private(der: &[u8]) -> Result<Key, String> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let public = pair.public_key().as_ref();
        let id = id(public);
        let shown = json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id,
            "x": URL_SAFE_NO_PAD.encode(public),
        });
        return Ok(Key {
            id,
            algorithm: Algorithm::EdDSA,
            signing: EncodingKey::from_ed_der(der),
            verifying: DecodingKey::from_ed_der(public),
            public: Some(shown),
        });
    }
    let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| {
        "a key is neither Ed25519 nor RSA of at least 2048 bits in PKCS #8; make one by \
         `openssl genpkey -algorithm ed25519`"
            .to_owned()
    })?;
    let public = pair.public();
    let id = id(public.as_ref());
    let numbers = PublicKeyComponents::<Vec<u8>>::from(public);
    let shown = json!({
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
        "n": URL_SAFE_NO_PAD.encode(numbers.n), "e": URL_SAFE_NO_PAD.encode(numbers.e),
    });
    Ok(Key {
        id,
        algorithm: Algorithm::RS256,
        signing: EncodingKey::from_rsa_der(der),
        verifying: DecodingKey::from_rsa_der(public.as_ref()),
        public: Some(shown),
    })
}

/// The first letters of a hash.
fn id(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, bytes).as_ref()[..9])
}

/// What stands in the blocks of a PEM text (RFC 7468).
fn blocks(text: &str) -> Result<Vec<Vec<u8>>, String> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    let inside = text.split(BEGIN).skip(1).map(|block| block.split(END).next().unwrap_or_default());
    inside
        .map(|block| {
            let letters: String = block.split_whitespace().collect();
            STANDARD.decode(letters).map_err(|_| "a block of it is no base64".to_owned())
        })
        .collect()
}

//! What is stored with a key: JSON, of one request's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::IdempotencyKey;
use crate::engine::keys::Record;
use crate::error::IdempotencyError;

/// What a result may have at most, as JSON.
const MAX_RESULT: usize = 64 * 1024;

/// Whether a key that was used for this request is now used for another.
pub(super) fn is_another(then: Option<&[u8]>, key: &IdempotencyKey) -> bool {
    matches!((then, key.fingerprint()), (Some(then), Some(now)) if then != now)
}

pub(super) fn write(value: &impl Serialize) -> Result<String, IdempotencyError> {
    let result = serde_json::to_string(value)
        .map_err(|error| IdempotencyError::UnfitResult(place_of(&error)))?;
    if result.len() > MAX_RESULT {
        return Err(IdempotencyError::ResultTooLarge {
            bytes: result.len(),
        });
    }
    Ok(result)
}

pub(super) fn read<T: DeserializeOwned>(
    record: Record,
    key: &IdempotencyKey,
) -> Result<T, IdempotencyError> {
    if is_another(record.fingerprint.as_deref(), key) {
        return Err(IdempotencyError::KeyReused);
    }
    let result = record.result.ok_or(IdempotencyError::TransactionEnded)?;
    serde_json::from_str(&result).map_err(|error| IdempotencyError::UnfitResult(place_of(&error)))
}

/// Where JSON does not fit, without what stands there.
fn place_of(error: &serde_json::Error) -> String {
    format!("{:?} error at column {}", error.classify(), error.column())
}

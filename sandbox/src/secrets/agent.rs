//! The local protocol of the Secrets Manager Agent, with a cache as it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{CURRENT, Shared, api};

/// For how long the agent keeps a secret.
const TTL: Duration = Duration::from_secs(300);

/// Secrets by id and stage, as of an instant on the sandbox's clock.
pub(super) type Cache = Mutex<HashMap<(String, String), (SystemTime, Value)>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    secret_id: String,
    version_stage: Option<String>,
    #[serde(default)]
    refresh_now: bool,
}

pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Response {
    let token = headers.get("x-aws-parameters-secrets-token");
    let known = shared.keys.session_token.as_deref().unwrap_or_default();
    if token.is_none_or(|token| token.as_bytes() != known.as_bytes()) {
        return (StatusCode::FORBIDDEN, "Bad Token").into_response();
    }
    if headers.contains_key("x-forwarded-for") {
        return (StatusCode::BAD_REQUEST, "Forwarded").into_response();
    }
    let stage = wish.version_stage.unwrap_or_else(|| CURRENT.to_owned());
    let key = (wish.secret_id, stage);
    let now = shared.clock.now();
    if !wish.refresh_now {
        let cache = shared.agent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < TTL);
        if let Some((_, value)) = cache.get(&key).filter(|(at, _)| is_young(*at)) {
            return Json(value.clone()).into_response();
        }
    }
    let read = match api::play(&shared).await {
        Ok(()) => api::read(&shared, &key.0, Some(&key.1), None),
        Err(exception) => Err(exception),
    };
    match read {
        Ok(value) => {
            let mut cache = shared.agent.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(key, (now, value.clone()));
            Json(value).into_response()
        }
        Err(exception) => exception.into_response(),
    }
}

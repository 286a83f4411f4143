use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::refusal::Refusal;
use crate::sigv4;

/// The parameters of a token, each still encoded, in canonical order.
pub(super) struct Parameters<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Parameters<'a> {
    pub(super) fn parse(query: &'a str) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair
                .split_once('=')
                .ok_or(Refusal::Malformed("a parameter without `=`"))?;
            if !KNOWN.contains(&name) {
                return Err(Refusal::Malformed("an unknown parameter"));
            }
            if parameters.insert(name, value).is_some() {
                return Err(Refusal::Malformed("a parameter given twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn expect(&self, name: &str, value: &str) -> Result<(), Refusal> {
        if self.0.get(name) == Some(&value) {
            Ok(())
        } else {
            Err(Refusal::Malformed(
                "not this login's `Action`, or not AWS4-HMAC-SHA256 over `host` alone",
            ))
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<String, Refusal> {
        self.optional_text(name)?
            .ok_or(Refusal::Malformed("a parameter is missing"))
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(encoded) = self.0.get(name) else {
            return Ok(None);
        };
        let text = percent_decode_str(encoded)
            .decode_utf8()
            .map_err(|_| Refusal::Malformed("a parameter is not UTF-8"))?;
        if sigv4::encode(&text) == **encoded {
            Ok(Some(text.into_owned()))
        } else {
            Err(Refusal::Malformed(
                "a parameter is not in canonical percent-encoding",
            ))
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Result<&'a str, Refusal> {
        self.0
            .remove(name)
            .ok_or(Refusal::Malformed("a parameter is missing"))
    }

    pub(super) fn canonical_query(&self) -> String {
        sigv4::query(self.0.iter().map(|(name, value)| (*name, *value)))
    }
}

pub(super) const ACTION: &str = "Action";
pub(super) const USER: &str = "DBUser";
pub(super) const X_ALGORITHM: &str = "X-Amz-Algorithm";
pub(super) const X_CREDENTIAL: &str = "X-Amz-Credential";
pub(super) const X_DATE: &str = "X-Amz-Date";
pub(super) const X_EXPIRES: &str = "X-Amz-Expires";
pub(super) const X_SECURITY_TOKEN: &str = "X-Amz-Security-Token";
pub(super) const X_SIGNATURE: &str = "X-Amz-Signature";
pub(super) const X_SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const KNOWN: [&str; 9] = [
    ACTION,
    USER,
    X_ALGORITHM,
    X_CREDENTIAL,
    X_DATE,
    X_EXPIRES,
    X_SECURITY_TOKEN,
    X_SIGNATURE,
    X_SIGNED_HEADERS,
];

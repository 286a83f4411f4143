//! The names under which AWS serves databases.

use std::fmt;
use std::net::IpAddr;

use crate::error::ConfigError;

/// A host and a port, checked: the host is lower-cased, since a signature covers its spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Checks a host name or IP address and a port.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptyHost`], [`ConfigError::NotAHost`] for anything that carries a scheme, a
    /// path, a user or a port, and [`ConfigError::PortZero`].
    pub fn new(host: &str, port: u16) -> Result<Self, ConfigError> {
        if host.is_empty() {
            return Err(ConfigError::EmptyHost);
        }
        if !is_host(host) {
            return Err(ConfigError::NotAHost {
                given: redact_user(host),
                instead: name_in(host),
            });
        }
        if port == 0 {
            return Err(ConfigError::PortZero);
        }
        Ok(Self {
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
        })
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The AWS region in a host name of RDS or Aurora DSQL, and nothing for any other name.
    ///
    /// Known forms: instances, clusters (`cluster-`, `cluster-ro-`, `cluster-custom-`), proxies
    /// (`proxy-`), each `NAME.ID.REGION.rds.amazonaws.com`, GovCloud the same; in China also
    /// `NAME.ID.rds.REGION.amazonaws.com.cn`; clusters of Aurora DSQL, `ID.dsql.REGION.on.aws`. An
    /// Aurora global endpoint names no region.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        if let Some(region) = self.dsql_region() {
            return Some(region);
        }
        let labels: Vec<&str> = self.rds_labels()?;
        let region = match labels.as_slice() {
            [.., region, "rds"] => *region,
            [.., "rds", region] => *region,
            _ => return None,
        };
        is_region(region).then_some(region)
    }

    /// Whether the name is one that RDS gives to databases and proxies.
    #[must_use]
    pub fn is_rds(&self) -> bool {
        self.rds_labels()
            .is_some_and(|labels| labels.contains(&"rds") && labels.len() > 2)
    }

    /// Whether the name is one that RDS gives to an RDS Proxy.
    #[must_use]
    pub fn is_rds_proxy(&self) -> bool {
        self.is_rds()
            && self
                .rds_labels()
                .is_some_and(|labels| labels.iter().any(|label| label.starts_with("proxy-")))
    }

    /// Whether the name is one that Aurora DSQL gives to a cluster.
    #[must_use]
    pub fn is_dsql(&self) -> bool {
        self.dsql_region().is_some()
    }

    /// Through AWS PrivateLink the service's label has a suffix, as in `dsql-fnh4`.
    fn dsql_region(&self) -> Option<&str> {
        let mut labels = self.host.strip_suffix(".on.aws")?.split('.');
        let (_, service, region) = (labels.next()?, labels.next()?, labels.next()?);
        let is_dsql = service == "dsql" || service.starts_with("dsql-");
        (is_dsql && labels.next().is_none() && is_region(region)).then_some(region)
    }

    /// Whether the host is this machine, so that nothing travels.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn rds_labels(&self) -> Option<Vec<&str>> {
        let name = self
            .host
            .strip_suffix(".amazonaws.com")
            .or_else(|| self.host.strip_suffix(".amazonaws.com.cn"))?;
        Some(name.split('.').collect())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') && !self.host.starts_with('[') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether the text has the shape of an AWS region, as `eu-west-1` or `us-gov-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [words @ .., number] = parts.as_slice() else {
        return false;
    };
    words.len() >= 2
        && words
            .iter()
            .all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_host(text: &str) -> bool {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let name = text.trim_end_matches('.');
    bare.parse::<IpAddr>().is_ok()
        || (!name.is_empty()
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            }))
}

/// The host name inside something longer, to show what should have been written.
fn name_in(text: &str) -> String {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let text = text.split(':').next().unwrap_or_default();
    if is_host(text) {
        text.to_owned()
    } else {
        "db.example.com".to_owned()
    }
}

/// What stood before an `@` may be a password.
fn redact_user(text: &str) -> String {
    text.rsplit_once('@')
        .map_or_else(|| text.to_owned(), |(_, rest)| format!("..@{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(host: &str) -> Option<String> {
        Endpoint::new(host, 5432)
            .unwrap()
            .region()
            .map(str::to_owned)
    }

    #[test]
    fn a_proxy_is_known_by_its_name() {
        for (host, expected) in [
            (
                "orders.proxy-c9akciq32rgx.eu-west-1.rds.amazonaws.com",
                true,
            ),
            (
                "ro.endpoint.proxy-c9akciq32rgx.us-east-2.rds.amazonaws.com",
                true,
            ),
            ("orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com", false),
            (
                "orders.cluster-c9akciq32rgx.eu-west-1.rds.amazonaws.com",
                false,
            ),
            ("orders.proxy-c9akciq32rgx.example.com", false),
        ] {
            let endpoint = Endpoint::new(host, 5432).unwrap();
            assert_eq!(endpoint.is_rds_proxy(), expected, "{host}");
        }
    }

    #[test]
    fn a_cluster_of_aurora_dsql_is_known_by_its_name() {
        for (host, expected) in [
            (
                "abcdefghijklmnopqrst123456.dsql.us-east-1.on.aws",
                Some("us-east-1"),
            ),
            (
                "abcdefghijklmnopqrst123456.dsql-fnh4.eu-west-1.on.aws",
                Some("eu-west-1"),
            ),
            ("dsql.us-east-1.on.aws", None),
            ("a.b.dsql.us-east-1.on.aws", None),
            ("a.dsql.nowhere.on.aws", None),
            ("a.rds.us-east-1.on.aws", None),
            ("a.dsql.us-east-1.amazonaws.com", None),
        ] {
            let endpoint = Endpoint::new(host, 5432).unwrap();
            assert_eq!(endpoint.is_dsql(), expected.is_some(), "{host}");
            assert_eq!(endpoint.region(), expected, "{host}");
            assert!(!endpoint.is_rds(), "{host}");
        }
    }

    #[test]
    fn the_region_is_read_from_every_form_of_rds_name() {
        for (host, expected) in [
            (
                "orders.c9akciq32rgx.us-east-1.rds.amazonaws.com",
                "us-east-1",
            ),
            (
                "orders.cluster-c9akciq32rgx.eu-west-3.rds.amazonaws.com",
                "eu-west-3",
            ),
            (
                "orders.cluster-ro-c9akciq32rgx.eu-west-3.rds.amazonaws.com",
                "eu-west-3",
            ),
            (
                "orders.cluster-custom-c9akciq32rgx.eu-west-3.rds.amazonaws.com",
                "eu-west-3",
            ),
            (
                "orders.proxy-c9akciq32rgx.ap-southeast-2.rds.amazonaws.com",
                "ap-southeast-2",
            ),
            (
                "ro.endpoint.proxy-c9akciq32rgx.us-east-2.rds.amazonaws.com",
                "us-east-2",
            ),
            (
                "orders.shardgrp-c9akciq32rgx.us-east-2.rds.amazonaws.com",
                "us-east-2",
            ),
            (
                "orders.c9akciq32rgx.us-gov-west-1.rds.amazonaws.com",
                "us-gov-west-1",
            ),
            (
                "orders.c9akciq32rgx.rds.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
            ),
            (
                "orders.c9akciq32rgx.cn-northwest-1.rds.amazonaws.com.cn",
                "cn-northwest-1",
            ),
            (
                "Orders.C9AKCIQ32RGX.US-EAST-1.RDS.AMAZONAWS.COM",
                "us-east-1",
            ),
        ] {
            assert_eq!(region(host).as_deref(), Some(expected), "{host}");
            assert!(Endpoint::new(host, 5432).unwrap().is_rds(), "{host}");
        }
    }

    #[test]
    fn no_region_is_made_up() {
        for host in [
            "db.example.com",
            "10.0.0.7",
            "localhost",
            "orders.global-c9akciq32rgx.global.rds.amazonaws.com",
            "us-east-1.example.com",
            "s3.us-east-1.amazonaws.com",
        ] {
            assert_eq!(region(host), None, "{host}");
        }
        assert!(
            !Endpoint::new("s3.us-east-1.amazonaws.com", 1)
                .unwrap()
                .is_rds()
        );
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_the_host_in_it() {
        for (given, instead) in [
            ("https://db.example.com", "db.example.com"),
            (
                "postgres://app:hunter2@db.example.com:5432/orders",
                "db.example.com",
            ),
            ("db.example.com:5432", "db.example.com"),
            ("db.example.com/orders", "db.example.com"),
            ("a b", "db.example.com"),
        ] {
            let error = Endpoint::new(given, 5432).unwrap_err();
            let ConfigError::NotAHost { instead: shown, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(shown, instead);
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(Endpoint::new("", 5432), Err(ConfigError::EmptyHost));
        assert_eq!(Endpoint::new("db", 0), Err(ConfigError::PortZero));
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
        ] {
            assert!(Endpoint::new(host, 1).unwrap().is_loopback(), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com"] {
            assert!(!Endpoint::new(host, 1).unwrap().is_loopback(), "{host}");
        }
    }
}

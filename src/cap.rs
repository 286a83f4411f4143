//! How many connections one worker may hold, by what its environment says of it. Arithmetic only.

use std::num::NonZeroU32;

/// What sqlx opens at most when nothing is said.
const SQLX_DEFAULT: u32 = 10;

/// Connects that may be under way at once where there are processors for them.
const MAX_CONNECTING: u32 = 8;

/// The memory with which a Lambda function has one vCPU (AWS Lambda developer guide, "Configure
/// Lambda function memory").
const MIB_PER_VCPU: u32 = 1_769;

/// How AWS Lambda started this environment: `AWS_LAMBDA_INITIALIZATION_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitializationType {
    /// For a request that is waiting.
    OnDemand,
    /// Ahead of requests.
    ProvisionedConcurrency,
    /// To be snapshotted, and restored from the snapshot.
    SnapStart,
    /// On instances of one's own, where an environment serves several invocations at once.
    ManagedInstances,
}

/// What one worker may open, by the variables that AWS Lambda sets.
///
/// Lambda is told by `AWS_LAMBDA_FUNCTION_NAME`, since `AWS_EXECUTION_ENV` is not set on the OS-only
/// runtimes that Rust uses (AWS Lambda developer guide, "Defined runtime environment variables").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cap {
    /// The default of [`PoolOptions::max_connections`](crate::PoolOptions::max_connections).
    ///
    /// 10 as in sqlx; on Lambda 1, since an environment serves one invocation at a time, or
    /// `AWS_LAMBDA_MAX_CONCURRENCY`, which Lambda Managed Instances set.
    pub max_connections: u32,
    /// The default of [`ConnectOptions::max_connecting`](crate::ConnectOptions::max_connecting).
    ///
    /// 8; on Lambda 2 for each vCPU that `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` buys, and 2 at least,
    /// for TLS handshakes that share a part of a processor only make each other late.
    pub max_connecting: NonZeroU32,
    /// How Lambda started this worker; `None` elsewhere.
    pub lambda: Option<InitializationType>,
}

impl Cap {
    /// The cap of a worker in whose environment `variable` finds the values of variables, as in
    /// `Cap::of(|name| std::env::var(name).ok())`.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
        if variable("AWS_LAMBDA_FUNCTION_NAME").is_none() {
            return Self {
                max_connections: SQLX_DEFAULT,
                max_connecting: at_least_one(MAX_CONNECTING),
                lambda: None,
            };
        }
        let processors = number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
            .map_or(1, |mib| mib.div_ceil(MIB_PER_VCPU).max(1));
        let initialization = match variable("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
            Some("provisioned-concurrency") => InitializationType::ProvisionedConcurrency,
            Some("snap-start") => InitializationType::SnapStart,
            Some("lambda-managed-instances") => InitializationType::ManagedInstances,
            _ => InitializationType::OnDemand,
        };
        Self {
            max_connections: number("AWS_LAMBDA_MAX_CONCURRENCY").map_or(1, |all| all.max(1)),
            max_connecting: at_least_one(processors.saturating_mul(2).min(MAX_CONNECTING)),
            lambda: Some(initialization),
        }
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMBDA: (&str, &str) = ("AWS_LAMBDA_FUNCTION_NAME", "orders");

    fn cap(variables: &[(&str, &str)]) -> Cap {
        Cap::of(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_lambda_environment_holds_one_connection_for_each_concurrent_invocation() {
        let max = |variables: &[_]| cap(variables).max_connections;
        assert_eq!(max(&[]), 10);
        assert_eq!(max(&[("AWS_LAMBDA_MAX_CONCURRENCY", "8")]), 10);
        assert_eq!(max(&[("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE")]), 10);
        assert_eq!(max(&[LAMBDA]), 1);
        for (given, expected) in [("8", 8), ("0", 1), ("many", 1)] {
            let variables = [LAMBDA, ("AWS_LAMBDA_MAX_CONCURRENCY", given)];
            assert_eq!(max(&variables), expected, "{given}");
        }
    }

    #[test]
    fn connects_share_the_processors_that_the_memory_buys() {
        assert_eq!(cap(&[]).max_connecting.get(), 8);
        for (mib, expected) in [("128", 2), ("1769", 2), ("1770", 4), ("10240", 8), ("?", 2)] {
            let variables = [LAMBDA, ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", mib)];
            assert_eq!(cap(&variables).max_connecting.get(), expected, "{mib} MiB");
        }
    }

    #[test]
    fn a_worker_knows_how_it_was_started() {
        assert_eq!(cap(&[]).lambda, None);
        for (given, expected) in [
            ("on-demand", InitializationType::OnDemand),
            (
                "provisioned-concurrency",
                InitializationType::ProvisionedConcurrency,
            ),
            ("snap-start", InitializationType::SnapStart),
            (
                "lambda-managed-instances",
                InitializationType::ManagedInstances,
            ),
        ] {
            let variables = [LAMBDA, ("AWS_LAMBDA_INITIALIZATION_TYPE", given)];
            assert_eq!(cap(&variables).lambda, Some(expected));
        }
    }
}

//! How many connections one worker may hold. Arithmetic only.

/// What sqlx opens at most when nothing is said.
const SQLX_DEFAULT: u32 = 10;

/// The default of `max_connections`, from the environment variables that AWS Lambda sets.
///
/// A Lambda environment serves one invocation at a time and needs one connection, unless
/// `AWS_LAMBDA_MAX_CONCURRENCY` says that it serves several (Lambda Managed Instances).
/// Lambda is told by `AWS_LAMBDA_FUNCTION_NAME`, since `AWS_EXECUTION_ENV` is not set on the
/// OS-only runtimes that Rust uses (AWS Lambda developer guide, "Defined runtime environment
/// variables").
pub(crate) fn default_max_connections(variable: impl Fn(&str) -> Option<String>) -> u32 {
    if variable("AWS_LAMBDA_FUNCTION_NAME").is_none() {
        return SQLX_DEFAULT;
    }
    variable("AWS_LAMBDA_MAX_CONCURRENCY")
        .and_then(|concurrency| concurrency.parse().ok())
        .map_or(1, |concurrency: u32| concurrency.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_with(variables: &[(&str, &str)]) -> u32 {
        default_max_connections(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_lambda_environment_holds_one_connection_for_each_concurrent_invocation() {
        assert_eq!(default_with(&[]), 10);
        assert_eq!(default_with(&[("AWS_LAMBDA_MAX_CONCURRENCY", "8")]), 10);
        let lambda = ("AWS_LAMBDA_FUNCTION_NAME", "orders");
        assert_eq!(default_with(&[lambda]), 1);
        assert_eq!(
            default_with(&[lambda, ("AWS_LAMBDA_MAX_CONCURRENCY", "8")]),
            8
        );
        assert_eq!(
            default_with(&[lambda, ("AWS_LAMBDA_MAX_CONCURRENCY", "0")]),
            1
        );
        assert_eq!(
            default_with(&[lambda, ("AWS_LAMBDA_MAX_CONCURRENCY", "many")]),
            1
        );
    }
}

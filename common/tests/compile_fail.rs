//! Mistakes do not compile, and the error names the type or the fix.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p common --all-features --test compile_fail`,
//! whole: without the case that compiles, all that `common` depends on is built once more.

/// The case that compiles makes this a build, not a check: assertions on a listener's constants are
/// evaluated by a build only.
#[test]
fn mistake_is_a_compile_error_that_names_the_fix() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_pass/*.rs");
    cases.compile_fail("tests/compile_fail/*.rs");
    #[cfg(feature = "sqlite")]
    cases.compile_fail("tests/compile_fail/transactional/*.rs");
}

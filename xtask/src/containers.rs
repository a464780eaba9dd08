//! What `cargo xtask test` and the tests must agree on when servers run in containers.

/// The public image of the pinned server. Nothing that is built here takes its name.
pub const PUBLIC_IMAGE: &str = "nats:2.15.1";

/// The image that is built from the pinned server where [`PUBLIC_IMAGE`] cannot be pulled.
pub const LOCAL_IMAGE: &str = "sgtickets-nats:2.15.1";

/// The label of every container of the tests; its value is the id of the run ([`RunId`](crate::RunId)).
pub const LABEL: &str = "org.sgtickets.test";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats_server::Version;

    #[test]
    fn images_are_of_the_pinned_server() {
        for image in [PUBLIC_IMAGE, LOCAL_IMAGE] {
            let (_, tag) = image.split_once(':').unwrap();
            assert_eq!(tag, Version::PINNED.to_string(), "{image}");
        }
    }
}

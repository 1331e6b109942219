//! The table of methods: what authorisation, signing and batching go by.

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Full gRPC path, `/jjj.gateway.v1.RatingService/PublishRating`.
    pub path: &'static str,
    /// Service without its package, `RatingService`.
    pub service: &'static str,
    /// `PublishRating`.
    pub name: &'static str,
    /// Request message without its package.
    pub request: &'static str,
    /// Response message without its package.
    pub response: &'static str,
    /// Whether it changes something: the request has a `request_id`, or is a batch.
    pub mutating: bool,
    /// Whether the request is a `BatchMutateRequest`.
    pub batch: bool,
    /// For a batch method, the path of the single method that its items are requests of.
    pub item: Option<&'static str>,
    /// Whether the server streams its answers. Clients never stream.
    pub streaming: bool,
}

/// Every RPC of the package, services in the order of their files.
pub const METHODS: &[Method] = include!("gen/methods.rs");

/// What discloses personal data, or may: the token is of this one read.
const DISCLOSING: [&str; 3] = [
    "/jjj.gateway.v1.ElderService/FindElder",
    "/jjj.gateway.v1.ElderService/ReadPersonalData",
    "/jjj.gateway.v1.LedgerService/GetEvidence",
];

impl Method {
    /// Whether the token must bind the content of the call: on every mutation, and where personal data
    /// may be disclosed.
    pub fn binds_content(&self) -> bool {
        self.mutating || DISCLOSING.contains(&self.path)
    }
}

/// The method with this full gRPC path.
pub fn method(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|m| m.path == path)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::*;

    fn files() -> FileDescriptorSet {
        FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap()
    }

    #[test]
    fn the_table_is_the_descriptor() {
        let files = files();
        let message = |full: &str| -> &DescriptorProto {
            let name = full.strip_prefix(".jjj.gateway.v1.").unwrap();
            files.file.iter().flat_map(|f| &f.message_type).find(|m| m.name() == name).unwrap()
        };
        let mut table = METHODS.iter();
        for service in files.file.iter().flat_map(|f| &f.service) {
            for described in &service.method {
                let method = table.next().unwrap();
                assert_eq!(method.path, format!("/jjj.gateway.v1.{}/{}", service.name(), described.name()));
                assert_eq!((method.service, method.name), (service.name(), described.name()));
                let request = message(described.input_type());
                assert_eq!(
                    (method.request, method.response),
                    (request.name(), message(described.output_type()).name())
                );
                assert_eq!(method.batch, method.request == "BatchMutateRequest");
                assert_eq!(method.mutating, method.batch || request.field.iter().any(|f| f.name() == "request_id"));
                assert_eq!(method.streaming, described.server_streaming());
                assert!(!described.client_streaming());
            }
        }
        assert_eq!(table.next(), None);
    }

    /// The conventions of the API, checked on every message.
    #[test]
    fn mutations_are_unary_start_with_the_request_id_and_answer_with_a_receipt() {
        let files = files();
        let message = |name: &str| files.file.iter().flat_map(|f| &f.message_type).find(|m| m.name() == name).unwrap();
        for m in METHODS.iter().filter(|m| m.mutating) {
            assert!(!m.streaming, "{}", m.path);
            match m.item {
                Some(item) => {
                    assert_eq!(m.response, "BatchMutateResponse");
                    let single = method(item).unwrap();
                    assert!(single.mutating && !single.batch && single.service == m.service, "{}", m.path);
                }
                None => {
                    assert!(!m.batch);
                    let fields = |name| message(name).field.iter().map(|f| (f.name(), f.number())).collect::<Vec<_>>();
                    assert_eq!(fields(m.request)[0], ("request_id", 1), "{}", m.path);
                    let response = fields(m.response);
                    assert_eq!((response.len(), response[1]), (2, ("receipt", 2)), "{}", m.path);
                    assert_eq!(m.response, format!("{}Response", m.name));
                }
            }
        }
        for m in METHODS.iter().filter(|m| !m.mutating) {
            assert_eq!(m.item, None, "{}", m.path);
        }
    }

    #[test]
    fn what_discloses_is_a_method_that_binds_its_content() {
        assert!(DISCLOSING.iter().all(|path| method(path).is_some_and(|m| m.binds_content() && !m.mutating)));
        assert!(!method("/jjj.gateway.v1.ElderService/GetElder").unwrap().binds_content());
    }

    /// Words that a generated client could not use as they stand.
    #[test]
    fn no_field_is_a_keyword_in_python() {
        let keywords = [
            "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
            "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
            "or", "pass", "raise", "return", "try", "while", "with", "yield",
        ];
        let files = files();
        for m in files.file.iter().flat_map(|f| &f.message_type) {
            for field in &m.field {
                assert!(!keywords.contains(&field.name()), "{}.{}", m.name(), field.name());
            }
        }
    }
}

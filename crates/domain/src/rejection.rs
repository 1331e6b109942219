//! Refusals. Every reason is stable for machines, bilingual for people, and says
//! what kind of fault it is. Reasons are API: never rename one.

use std::fmt;

/// What kind of fault a refusal is; the server maps each to one gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request itself is malformed or contradicts itself.
    Invalid,
    /// The request is well-formed; the records do not allow it now.
    Precondition,
    /// Something it names does not exist (or is not the caller's to see).
    NotFound,
    /// It would create what already exists.
    AlreadyExists,
    /// Somebody else may do this, the caller may not.
    Denied,
}

/// The most of a variable that a refusal repeats. A refusal travels in headers, in two languages; too
/// large ones end the connection, and with it the caller's other calls.
const MAX_VAR_CHARS: usize = 200;

/// A refused command: nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    /// The request field at fault, in proto spelling (`bed_fee_fen`), when there is one.
    pub field: Option<String>,
    /// The variables of the message.
    pub vars: Vec<(&'static str, String)>,
}

impl Rejection {
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Values are cut at [`MAX_VAR_CHARS`]: some are the caller's own, of any length.
    pub fn var(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let mut text = value.to_string();
        if let Some((end, _)) = text.char_indices().nth(MAX_VAR_CHARS) {
            text.truncate(end);
            text.push('…');
        }
        self.vars.push((name, text));
        self
    }

    pub fn message_en(&self) -> String {
        self.fill(self.reason.template_en())
    }

    pub fn message_zh(&self) -> String {
        self.fill(self.reason.template_zh())
    }

    fn fill(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.vars {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        if let Some(field) = &self.field {
            text = text.replace("{field}", field);
        }
        text
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self { reason, field: None, vars: Vec::new() }
    }
}

impl From<Reason> for crate::snapshot::Stop {
    fn from(reason: Reason) -> Self {
        Rejection::from(reason).into()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.message_en())
    }
}

impl std::error::Error for Rejection {}

impl Reason {
    pub fn var(self, name: &'static str, value: impl fmt::Display) -> Rejection {
        Rejection::from(self).var(name, value)
    }

    pub fn field(self, field: impl Into<String>) -> Rejection {
        Rejection::from(self).field(field)
    }
}

macro_rules! reasons {
    ($($V:ident $code:literal $fault:ident $en:literal $zh:literal)+) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $( #[doc = $en] $V ),+ }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$V),+];
            /// UPPER_SNAKE_CASE, the `ErrorInfo.reason`.
            pub const fn code(self) -> &'static str { match self { $(Self::$V => $code),+ } }
            pub const fn fault(self) -> Fault { match self { $(Self::$V => Fault::$fault),+ } }
            pub const fn template_en(self) -> &'static str { match self { $(Self::$V => $en),+ } }
            pub const fn template_zh(self) -> &'static str { match self { $(Self::$V => $zh),+ } }
        }
    };
}

// One line per reason, grouped by subject. `{field}` is the field's name.
reasons! {
    // The form of a request
    FieldMissing "FIELD_MISSING" Invalid "{field} is required" "缺少字段 {field}"
    FieldMalformed "FIELD_MALFORMED" Invalid "{field} is malformed: expected {expected}" "字段 {field} 格式有误：应为 {expected}"
    FieldOutOfRange "FIELD_OUT_OF_RANGE" Invalid "{field} is outside {range}" "字段 {field} 超出范围 {range}"
    FieldTooLong "FIELD_TOO_LONG" Invalid "{field} is longer than {limit}" "字段 {field} 长度超过 {limit}"
    EnumUnspecified "ENUM_UNSPECIFIED" Invalid "{field} is unspecified or unknown" "字段 {field} 未指定或取值未知"
    FieldNotApplicable "FIELD_NOT_APPLICABLE" Invalid "{field} does not apply under {scheme}" "{scheme} 不适用字段 {field}"
    ChecksumWrong "CHECKSUM_WRONG" Invalid "{field} has a wrong check digit ({standard})" "字段 {field} 校验位错误（{standard}）"
    DateOrder "DATE_ORDER" Invalid "{field} must not be before {earlier}" "字段 {field} 不得早于 {earlier}"
    FilterMalformed "FILTER_MALFORMED" Invalid "the filter cannot be read at {at}" "筛选条件在 {at} 处无法解析"
    FilterFieldUnknown "FILTER_FIELD_UNKNOWN" Invalid "the filter names {name}, which cannot be filtered by" "不能按 {name} 筛选"
    PageTokenMalformed "PAGE_TOKEN_MALFORMED" Invalid "the page token is not one of ours for this list" "翻页标记无效"
    RequestIdAge "REQUEST_ID_AGE" Invalid "the request id's time is in the future or more than 35 days past" "请求编号的时间在未来或早于三十五天"
    RequestIdReused "REQUEST_ID_REUSED" AlreadyExists "the request id was used before with other content" "请求编号已用于其他内容"
    FieldRepeated "FIELD_REPEATED" Invalid "{field} names {item} twice" "字段 {field} 重复列出 {item}"
    // Whose record
    RecordNotFound "RECORD_NOT_FOUND" NotFound "{name} does not exist" "{name} 不存在"
    RecordExists "RECORD_EXISTS" AlreadyExists "{name} already exists" "{name} 已存在"
    NotYourRecord "NOT_YOUR_RECORD" Denied "{name} belongs to another participant" "{name} 属于其他参与方"
    RoleNotAllowed "ROLE_NOT_ALLOWED" Denied "the caller's role may not call this method" "调用方角色无权调用此方法"
    StateNotAllowed "STATE_NOT_ALLOWED" Precondition "{name} is {state}; this needs {needed}" "{name} 当前状态为 {state}，此操作要求 {needed}"
    // Participants, keys, administrators
    ParticipantNotActive "PARTICIPANT_NOT_ACTIVE" Precondition "{name} is not an active participant" "{name} 不是有效参与方"
    KeyKnown "KEY_KNOWN" AlreadyExists "the key {kid} is already registered" "密钥 {kid} 已登记"
    KeyAlgorithmNotAllowed "KEY_ALGORITHM_NOT_ALLOWED" Precondition "{field} is a key of {algorithm}, which this gateway is not configured to take" "字段 {field} 为 {algorithm} 密钥，本网关未配置接受"
    LastKey "LAST_KEY" Precondition "{name} would be left without a key in force" "{name} 将没有有效密钥"
    FingerprintMismatch "FINGERPRINT_MISMATCH" Invalid "the fingerprint confirmed out of band is not that of {field}" "带外确认的指纹与 {field} 不符"
    LastAuthority "LAST_AUTHORITY" Precondition "{name} would be left without an authority in force" "{name} 将没有有效证书颁发机构"
    SelfRemoval "SELF_REMOVAL" Denied "{name} may not remove themselves" "{name} 不得自行移除"
    ConfirmationMissing "CONFIRMATION_MISSING" Denied "the key needs the confirmation of another active administrator of the gateway" "该密钥须由另一名有效的网关管理员确认"
    ConfirmationInvalid "CONFIRMATION_INVALID" Invalid "{field} is no signature over the key's fingerprint by a key in force of {name}" "字段 {field} 不是 {name} 的有效密钥对该指纹的签名"
    // Persons
    IdentifierTaken "IDENTIFIER_TAKEN" AlreadyExists "an identifier already belongs to {name}" "该证件号已属于 {name}"
    PersonMerged "PERSON_MERGED" Precondition "{name} was merged into {into}" "{name} 已并入 {into}"
    PersonDeceased "PERSON_DECEASED" Precondition "{name} has died" "{name} 已身故"
    PersonErased "PERSON_ERASED" Precondition "{name} has been erased" "{name} 的个人信息已删除"
    // Records and recognition
    GradeUnknown "GRADE_UNKNOWN" Invalid "{scheme} has no grade {grade}" "{scheme} 无 {grade} 级"
    DimensionScore "DIMENSION_SCORE" Invalid "{field} is outside 0..{max}" "{field} 应在 0 至 {max} 之间"
    TotalMismatch "TOTAL_MISMATCH" Invalid "total is {total}, the dimensions sum to {sum}" "总分为 {total}，各维度之和为 {sum}"
    PreliminaryLevelMismatch "PRELIMINARY_LEVEL_MISMATCH" Invalid "preliminary level {level} does not follow from the scores, which give {expected}" "初步等级 {level} 与得分不符，应为 {expected}"
    FinalLevelMismatch "FINAL_LEVEL_MISMATCH" Invalid "final level {level} does not follow from the preliminary level and the change reasons, which give {expected}" "最终等级 {level} 与初步等级及变更依据不符，应为 {expected}"
    ValidityTooLong "VALIDITY_TOO_LONG" Invalid "validity ends {until}; {scheme} allows at most {months} months" "有效期至 {until}，{scheme} 最长 {months} 个月"
    TransitionNotAllowed "TRANSITION_NOT_ALLOWED" Precondition "{name} cannot go from {from} to {to}" "{name} 不能由 {from} 变为 {to}"
    ChangeReasonNotAllowed "CHANGE_REASON_NOT_ALLOWED" Invalid "{scheme} has no change reason {change}" "{scheme} 无变更依据 {change}"
    NotRecognized "NOT_RECOGNIZED" Precondition "{name} is not recognized by {region}" "{name} 未被 {region} 互认"
    // Contracts, stays, bills
    GuardianMissing "GUARDIAN_MISSING" Invalid "limited or no capacity needs a guardian among the parties" "限制或无民事行为能力须有监护人"
    PartyMissing "PARTY_MISSING" Invalid "the contract lacks the party {role}" "合同缺少当事人 {role}"
    CapExceeded "CAP_EXCEEDED" Precondition "{field} is {amount}; the cap in division {division} is {cap}" "{field} 为 {amount}，{division} 上限为 {cap}"
    SignatureMissing "SIGNATURE_MISSING" Precondition "{party} has not signed" "{party} 尚未签署"
    DigestMismatch "DIGEST_MISMATCH" Invalid "{field} is not the digest of the document on file" "{field} 与存档文件摘要不符"
    FilingNumberTaken "FILING_NUMBER_TAKEN" AlreadyExists "the filing number is already used by {name}" "备案号已被 {name} 使用"
    StayOverlaps "STAY_OVERLAPS" Precondition "{name} overlaps" "与 {name} 时间重叠"
    BillLineBelowPaid "BILL_LINE_BELOW_PAID" Precondition "line {line} cannot fall below the {paid} fen already paid or held" "账单行 {line} 不能低于已付或已占用的 {paid} 分"
    // Entitlements
    BasisNotValid "BASIS_NOT_VALID" Precondition "{name} is no eligibility basis for {month}" "{name} 不能作为 {month} 的资格依据"
    NoRate "NO_RATE" Precondition "no rate of {programme} applies to {name} in {month}" "{programme} 在 {month} 对 {name} 无适用标准"
    AlreadyGranted "ALREADY_GRANTED" AlreadyExists "{month} is already granted as {name}" "{month} 已发放：{name}"
    BackPayTooOld "BACK_PAY_TOO_OLD" Precondition "{month} is more than {months} months back" "{month} 超过 {months} 个月补发期限"
    MonthInFuture "MONTH_IN_FUTURE" Precondition "{month} cannot be granted yet" "{month} 尚不能发放"
    // Payments
    ConditionUnmet "CONDITION_UNMET" Precondition "condition {condition} is not met: {detail}" "条件 {condition} 不满足：{detail}"
    InsufficientFunds "INSUFFICIENT_FUNDS" Precondition "{available} fen are available" "可用余额 {available} 分"
    BillLineExceeded "BILL_LINE_EXCEEDED" Precondition "{open} fen of the bill line are open" "账单行剩余应付 {open} 分"
    OrderIdTaken "ORDER_ID_TAKEN" AlreadyExists "the order id is already used by {name}" "订单号已被 {name} 使用"
    AmountMismatch "AMOUNT_MISMATCH" Invalid "{field} is {amount}, the record says {expected}" "{field} 为 {amount}，记录为 {expected}"
    RefundExceedsPayment "REFUND_EXCEEDS_PAYMENT" Precondition "{refundable} fen can still be refunded" "尚可退款 {refundable} 分"
    RefundTooLate "REFUND_TOO_LATE" Precondition "refunds end {months} months after the payment" "付款 {months} 个月后不能退款"
    ClearingDatePassed "CLEARING_DATE_PASSED" Precondition "the clearing date {date} has passed; refund instead" "清算日 {date} 已过，请使用退款"
    MandateCapExceeded "MANDATE_CAP_EXCEEDED" Precondition "{open} fen of the month's mandate are left" "本月委托额度剩余 {open} 分"
    ChannelLimitExceeded "CHANNEL_LIMIT_EXCEEDED" Precondition "{open} fen of the channel's limit for the day are left" "该渠道当日限额剩余 {open} 分"
    // Policy
    PolicyKindUnknown "POLICY_KIND_UNKNOWN" Invalid "there is no policy kind {kind}" "没有策略类别 {kind}"
    PolicyBodyInvalid "POLICY_BODY_INVALID" Invalid "the policy body cannot be read: {problem}" "策略内容无法解析：{problem}"
    PolicyMissing "POLICY_MISSING" Precondition "no policy {kind} for {scope} is in force on {date}" "{date} 没有生效的策略 {kind}（{scope}）"
    // Files and reconciliation
    FileDigestMismatch "FILE_DIGEST_MISMATCH" Invalid "the uploaded bytes do not have the announced size and digest" "上传内容与声明的大小或摘要不符"
    UploadLate "UPLOAD_LATE" Precondition "the upload of {name} began more than {days} days ago; it can begin anew a day later" "{name} 的上传已开始超过 {days} 天，一天后可重新开始"
    UploadsUnderWay "UPLOADS_UNDER_WAY" Precondition "{name} has about {limit} uploads under way and may have no more; complete some first" "{name} 正在进行的上传约 {limit} 个，已达上限，请先完成"
    FileMissing "FILE_MISSING" Precondition "of the settlement files of {channel} for {date}, {missing} have not arrived; allow_missing_files runs without them, INCOMPLETE" "{channel} {date} 的对账文件尚有 {missing} 份未到达；allow_missing_files 可在缺少文件时对账，结果为 INCOMPLETE"
    FileArrived "FILE_ARRIVED" Precondition "{name} arrived while the run was prepared; start it again" "运行准备期间收到 {name}，请重新发起"
    RunIncomplete "RUN_INCOMPLETE" Precondition "{name} is INCOMPLETE: a file is missing, money in it has no book, or an identity does not close; mend that and run the date again" "{name} 不完整（INCOMPLETE）：缺少文件、有款项无账可记，或恒等式不成立；请处理后重新对账"
    SamePerson "SAME_PERSON" Denied "{name} has already taken part in this; another person must" "{name} 已参与此事项，须由他人办理"
    SameOrganisation "SAME_ORGANISATION" Denied "{name} has proposed this; another organisation must approve it" "此事项由 {name} 提出，须由其他单位复核"
    ResolutionNotAllowed "RESOLUTION_NOT_ALLOWED" Invalid "{resolution} does not resolve a break of class {class}" "{resolution} 不适用于 {class} 类差错"
    // Settlement and close
    RunMissing "RUN_MISSING" Precondition "{channel} has no complete run of {date}" "{channel} {date} 尚无完整的对账批次"
    SettlementNotDue "SETTLEMENT_NOT_DUE" Precondition "{channel} settles {cycle}; {date} ends no cycle" "{channel} 的结算周期为 {cycle}，{date} 不是周期末日"
    BooksMoved "BOOKS_MOVED" Precondition "{name} moved while this was prepared; ask again" "准备期间 {name} 发生变动，请重新发起"
    MonthClosed "MONTH_CLOSED" Precondition "{month} of {book} is closed" "{book} 的 {month} 已结账"
    CloseConditionUnmet "CLOSE_CONDITION_UNMET" Precondition "{book} {month} cannot be closed, {condition}: {detail}" "{book} {month} 不能结账，{condition}：{detail}"
    RootMismatch "ROOT_MISMATCH" Invalid "the root signed is not that of the view" "所签根值与视图不符"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_upper_snake_case_and_templates_name_the_same_variables() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.code()), "{} twice", reason.code());
            assert!(reason.code().chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            assert_eq!(variables(reason.template_en()), variables(reason.template_zh()), "{}", reason.code());
        }
    }

    #[test]
    fn a_refusal_repeats_little_of_what_it_was_given() {
        let refused = Reason::RecordNotFound.var("name", "字".repeat(5_000));
        assert_eq!(refused.vars[0].1, format!("{}…", "字".repeat(MAX_VAR_CHARS)));
        assert!(refused.message_zh().len() < 1_000);
        let whole = "字".repeat(MAX_VAR_CHARS);
        assert_eq!(Reason::RecordNotFound.var("name", &whole).vars[0].1, whole);
    }

    fn variables(template: &str) -> HashSet<String> {
        template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned()).collect()
    }
}

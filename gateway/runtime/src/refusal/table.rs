//! Every problem the exchange API can answer with, in one table.
//!
//! A code is part of the contract: once published it keeps its meaning. The table is
//! what `docs/problems.md` is compared with, so a new row and its page land together.

/// Defines [`RefusalCode`] and its attributes from the rows below.
macro_rules! problem_codes {
    ($($variant:ident = $code:literal, $status:literal, [$en:literal, $zh:literal], [$advice_en:literal, $advice_zh:literal];)+) => {
        /// A stable, machine-readable reason for a refusal. See `docs/problems.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum RefusalCode {
            $(#[doc = concat!("`", $code, "`: ", $en, ".")] $variant,)+
        }

        /// What the table says about one code.
        struct Row {
            code: &'static str,
            status: u16,
            title: [&'static str; 2],
            advice: [&'static str; 2],
        }

        const ROWS: &[Row] = &[
            $(Row { code: $code, status: $status, title: [$en, $zh], advice: [$advice_en, $advice_zh] },)+
        ];

        impl RefusalCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$variant,)+];
        }
    };
}

problem_codes! {
    // The body as bytes.
    BodyTooLarge = "body.too-large", 413, ["Body too large", "请求体过大"],
        ["Split the records over several requests; the limit is in the documentation of this node.", "请将记录拆分为多次请求提交；上限见本节点说明。"];
    BodyDecompressedTooLarge = "body.decompressed-too-large", 413, ["Body too large after decompression", "解压后的请求体过大"],
        ["Split the records over several requests; what counts is the size and the ratio after decompression.", "请将记录拆分为多次请求提交；以解压后的大小和压缩比为准。"];
    BodyTruncated = "body.truncated", 400, ["Body truncated", "请求体不完整"],
        ["The body ended before its announced end. Send the whole request again with the same Idempotency-Key.", "请求体未完整到达。请使用同一 Idempotency-Key 重新发送完整请求。"];
    BodyTooSlow = "body.too-slow", 408, ["Body arrived too slowly", "请求体到达过慢"],
        ["Check the network, send smaller bodies, and repeat with the same Idempotency-Key.", "请检查网络，减小请求体，并使用同一 Idempotency-Key 重发。"];
    BodyEmpty = "body.empty", 400, ["Body empty", "请求体为空"],
        ["Send at least one record.", "请至少提交一条记录。"];
    BodyMalformed = "body.malformed", 400, ["Body cannot be parsed", "请求体无法解析"],
        ["The body is not what its Content-Type says. `errors` names the place; correct it and send again.", "请求体与 Content-Type 不符。errors 指明了位置，请更正后重发。"];
    BodyTooDeep = "body.too-deep", 400, ["Body nested too deeply", "请求体嵌套过深"],
        ["A record is flat: an object of fields. Remove the nesting.", "记录为扁平结构，由字段组成。请去除嵌套。"];
    BodyTooManyFields = "body.too-many-fields", 400, ["Too many fields in one record", "单条记录字段过多"],
        ["Send only the fields of the schema.", "请只提交数据规范中的字段。"];
    BodyTooManyRecords = "body.too-many-records", 413, ["Too many records in one request", "单次请求记录过多"],
        ["Split the records over several requests.", "请将记录拆分为多次请求提交。"];
    BodyRecordTooLarge = "body.record-too-large", 413, ["A record is too large", "单条记录过大"],
        ["Shorten the record; long attachments do not belong into it.", "请缩短该记录，附件内容不应写入记录。"];
    BodyDtd = "body.dtd", 400, ["XML with a document type or entities", "XML 含有 DTD 或实体"],
        ["Remove the DOCTYPE; only the five predefined entities are read.", "请删除 DOCTYPE；仅支持五个预定义实体。"];
    BodyQuoteUnclosed = "body.quote-unclosed", 400, ["A CSV quote never closes", "CSV 引号未闭合"],
        ["Close the quote, or double a quote inside a field, and send again.", "请闭合引号；字段内的引号应写两次。更正后重发。"];
    BodyEncoding = "body.encoding", 400, ["Text is not in its character set", "文本与字符集不符"],
        ["The bytes are not valid in the declared character set; convert them, or declare the set they are in.", "字节与声明的字符集不符，请转换编码或声明实际的字符集。"];
    BodyLooksGb = "body.encoding-looks-gb18030", 400, ["Text looks like GB18030", "文本看来是 GB18030 编码"],
        ["Declare charset=gb18030 in Content-Type, or convert the file to UTF-8.", "请在 Content-Type 中声明 charset=gb18030，或将文件转换为 UTF-8。"];
    BodyTrailing = "body.trailing", 400, ["Something follows the document", "文档之后还有内容"],
        ["Send one document only.", "每次请求只发送一个文档。"];
    BodyXmlForbidden = "body.xml-forbidden", 400, ["XML with attributes or processing instructions", "XML 含有属性或处理指令"],
        ["Use elements and text only.", "仅可使用元素和文本。"];
    BodyXmlStructure = "body.xml-structure", 400, ["XML of another structure", "XML 结构不符"],
        ["The structure is records/record/field.", "结构应为 records/record/字段。"];
    BodyCsvHeader = "body.csv-header", 400, ["A CSV column is no field", "CSV 表头列不是字段"],
        ["The first row names the fields by code, alias or Chinese title; see template.csv of the dataset.", "首行应为字段代码、别名或中文名称，可参照该数据集的 template.csv。"];
    BodyCsvHeaderTwice = "body.csv-header-twice", 400, ["Two CSV columns name one field", "CSV 两列表示同一字段"],
        ["Keep one of the columns.", "请只保留一列。"];
    // How the body is encoded.
    EncodingUnsupported = "encoding.unsupported", 415, ["Content-Encoding not supported", "不支持的 Content-Encoding"],
        ["Use gzip, zstd or none, and only one of them.", "请使用 gzip、zstd 之一，或不压缩。"];
    EncodingCorrupt = "encoding.corrupt", 400, ["Compressed body is damaged", "压缩数据已损坏"],
        ["The body is not valid in its Content-Encoding. Compress it again and resend.", "请求体不是有效的压缩数据。请重新压缩后发送。"];
    EncodingWindow = "encoding.window-too-large", 415, ["zstd window too large", "zstd 窗口过大"],
        ["Compress with a window of 8 MiB or less (no --long, no --ultra).", "请使用不超过 8 MiB 的窗口压缩（不要使用 --long 或 --ultra）。"];
    CharsetUnsupported = "charset.unsupported", 415, ["Character set not supported", "不支持的字符集"],
        ["Use charset=utf-8 or charset=gb18030.", "请使用 charset=utf-8 或 charset=gb18030。"];
    MediaTypeUnsupported = "media-type.unsupported", 415, ["Content-Type not supported", "不支持的 Content-Type"],
        ["Use application/json, application/x-ndjson, application/xml or text/csv as this path allows.", "请按接口要求使用 application/json、application/x-ndjson、application/xml 或 text/csv。"];
    // The request line and headers.
    NotFound = "not-found", 404, ["No such resource", "资源不存在"],
        ["Check the path against the OpenAPI document of this node.", "请对照本节点的 OpenAPI 文档检查路径。"];
    MethodNotAllowed = "method-not-allowed", 405, ["Method not allowed here", "不允许的请求方法"],
        ["The Allow header lists the methods of this path.", "Allow 响应头列出了此路径支持的方法。"];
    HeaderTooMany = "header.too-many", 431, ["Too many header fields", "请求头过多"],
        ["Send only the headers the interface needs.", "请只发送接口需要的请求头。"];
    HeaderHost = "header.host", 400, ["Not exactly one Host field", "Host 请求头必须且只能有一个"],
        ["Send one Host field with the gateway's name (RFC 9112, 3.2); look for a proxy that adds its own.", "请只发送一个 Host 请求头，值为网关名称（RFC 9112 第 3.2 节）；请检查是否有代理另行添加。"];
    ParameterInvalid = "parameter.invalid", 400, ["A query parameter or header is not valid", "查询参数或请求头无效"],
        ["`errors` names it; see the OpenAPI document for its form.", "errors 指明了参数名；格式见 OpenAPI 文档。"];
    ParameterUnknown = "parameter.unknown", 400, ["Unknown query parameter", "未知的查询参数"],
        ["Remove it or correct its spelling; parameters are not ignored silently.", "请删除或更正；参数不会被静默忽略。"];
    ParameterRepeated = "parameter.repeated", 400, ["A query parameter is given twice", "查询参数重复"],
        ["Give each parameter once.", "每个参数只能出现一次。"];
    RangeUnsatisfiable = "range.unsatisfiable", 416, ["Range not satisfiable", "Range 无法满足"],
        ["Ask for a range inside the payload; its length is in the manifest.", "请求范围应在数据长度之内；长度见批次清单。"];
    // Who asks.
    MemberUnknown = "member.unknown", 403, ["Certificate belongs to no member", "证书不属于任何成员"],
        ["Ask the security officer of this node to register your organisation with this certificate.", "请联系本节点安全管理员登记贵单位及此证书。"];
    MemberAmbiguous = "member.ambiguous", 403, ["Certificate matches more than one member", "证书匹配多个成员"],
        ["Ask the security officer of this node to correct the bindings; exactly one must match.", "请联系本节点安全管理员更正绑定；只能匹配一个成员。"];
    MemberSuspended = "member.suspended", 403, ["Member suspended", "成员已停用"],
        ["Access was withdrawn. Ask the security officer of this node.", "访问权限已被停用，请联系本节点安全管理员。"];
    MemberRoleMismatch = "member.role-mismatch", 403, ["Certificate says another role", "证书角色与登记不符"],
        ["Request a certificate with the role your organisation is registered with.", "请申请与登记角色一致的证书。"];
    MemberNameMismatch = "member.name-mismatch", 403, ["Certificate says another name", "证书名称与绑定不符"],
        ["Request a certificate in your organisation's own name.", "请以本单位自己的名义申请证书。"];
    CertificateMissing = "certificate.missing", 403, ["No client certificate", "未出示客户端证书"],
        ["Configure your certificate and key.", "请配置证书与私钥。"];
    CertificateMalformed = "certificate.malformed", 403, ["Certificate cannot be read", "证书无法读取"],
        ["Request a new certificate from your issuer.", "请向签发机构重新申请证书。"];
    CertificateNotYetValid = "certificate.not-yet-valid", 403, ["Certificate not valid yet", "证书尚未生效"],
        ["Check both clocks, or wait.", "请检查双方时钟或等待生效。"];
    CertificateExpired = "certificate.expired", 403, ["Certificate expired", "证书已过期"],
        ["Renew it and connect again.", "请更新证书后重新连接。"];
    CertificateRevoked = "certificate.revoked", 403, ["Certificate revoked", "证书已吊销"],
        ["Use the renewed certificate, or ask your issuer for one.", "请使用更新后的证书，或向签发机构申请。"];
    CertificateStatusUnknown = "certificate.status-unknown", 403, ["Revocation status of the certificate unknown", "证书吊销状态未知"],
        ["This node has no revocation list of the issuer and must have one. Ask the security officer of this node to load it.", "本节点没有签发机构的吊销列表，且策略要求必须有。请联系本节点安全管理员加载。"];
    CertificateStatusStale = "certificate.status-stale", 403, ["Revocation list of the issuer overdue", "签发机构的吊销列表已逾期"],
        ["This node's revocation list of the issuer is overdue. Ask the security officer of this node to load the next one.", "本节点上签发机构的吊销列表已逾期。请联系本节点安全管理员加载新的列表。"];
    CertificateUntrusted = "certificate.untrusted", 403, ["Certificate's issuer not trusted", "证书签发机构不受信任"],
        ["Send the intermediate certificates too, or ask the security officer of this node to add the authority.", "请一并发送中间证书，或联系本节点安全管理员添加该机构。"];
    CertificateUri = "certificate.uri-malformed", 403, ["Certificate's SPIFFE URI not usable", "证书中的 SPIFFE URI 无效"],
        ["It must carry at most one, of the form spiffe://<trust-domain>/<role>/<name>.", "证书最多含一个，形如 spiffe://<信任域>/<角色>/<名称>。"];
    CertificateAnchor = "certificate.anchor-may-not-assert", 403, ["This issuer may not vouch for this identity", "签发机构无权认定该身份"],
        ["The certificate names a domain or role its trust anchor may not assert. Ask the security officer of this node.", "证书中的信任域或角色超出其信任锚的范围，请联系本节点安全管理员。"];
    MemberHeader = "member.header-refused", 400, ["Identity headers are not accepted here", "此处不接受身份请求头"],
        ["Remove Client-Cert headers: identity comes from the TLS certificate.", "请去掉 Client-Cert 请求头：身份取自 TLS 证书。"];
    MemberNotListed = "member.not-listed", 403, ["Not listed for this listener", "未列入此监听端口的名单"],
        ["This listener is for listed members only. Use the exchange listener with TLS 1.3, or ask the security officer of this node.", "此端口仅供名单内成员使用。请改用支持 TLS 1.3 的交换端口，或联系本节点安全管理员。"];
    FrontProxyOff = "front-proxy.off", 403, ["No front proxy is accepted here", "此处不接受前置代理"],
        ["Set `exchange.front_proxy` on this node, or let members connect directly.", "请在本节点启用 exchange.front_proxy，或让成员直接连接。"];
    FrontProxyMissing = "front-proxy.header-missing", 400, ["The proxy named no client", "代理未指明客户端"],
        ["The proxy must pass the certificate of its client in Client-Cert (RFC 9440) with every request.", "代理须在每个请求中以 Client-Cert（RFC 9440）传递其客户端的证书。"];
    FrontProxyRepeated = "front-proxy.header-repeated", 400, ["The proxy named its client twice", "代理重复指明客户端"],
        ["Let the proxy replace Client-Cert and Client-Cert-Chain that come from outside instead of adding to them.", "请让代理覆盖外来的 Client-Cert 与 Client-Cert-Chain，而不是追加。"];
    FrontProxyMalformed = "front-proxy.header-malformed", 400, ["Client-Cert cannot be read", "Client-Cert 无法读取"],
        ["Write it as RFC 9440 does: the DER in base64 between two colons; the chain likewise, separated by commas, at most four.", "请按 RFC 9440 书写：DER 的 base64 置于两个冒号之间；证书链同样书写，以逗号分隔，最多四张。"];
    FrontProxyRole = "front-proxy.role-refused", 403, ["Not through the front proxy", "该角色不得经由前置代理"],
        ["Officers and proxies connect to this node directly.", "管理员与代理须直接连接本节点。"];
    RoleWrong = "role.wrong", 403, ["Your role may not do this", "角色无此权限"],
        ["Use a certificate of the role this path is for, or ask the security officer.", "请使用具有相应角色的证书，或联系安全管理员。"];
    // What it is about.
    DatasetUnknown = "dataset.unknown", 404, ["No such dataset", "数据集不存在"],
        ["GET /v1/datasets lists what you may send.", "GET /v1/datasets 列出可提交的数据集。"];
    DatasetNotYours = "dataset.not-yours", 403, ["This dataset is not yours to send", "无权提交该数据集"],
        ["Ask the system administrator to register you as its source.", "请联系系统管理员登记为该数据集的来源单位。"];
    SchemaMissing = "schema.missing", 400, ["Schema not said", "未指明数据规范版本"],
        ["Several versions are open: add ?schema= with one of those listed by GET /v1/datasets.", "存在多个开放版本：请用 ?schema= 指明，可选值见 GET /v1/datasets。"];
    SchemaUnknown = "schema.unknown", 422, ["No such schema version", "数据规范版本不存在"],
        ["Use one of the versions listed by GET /v1/datasets.", "请使用 GET /v1/datasets 列出的版本。"];
    OperationUnknown = "operation.unknown", 400, ["Unknown operation", "未知的操作类型"],
        ["Use op=put, withdraw, repair, dispute, resolve or reinstate.", "请使用 op=put、withdraw、repair、dispute、resolve 或 reinstate。"];
    LoadUnknown = "load.unknown", 400, ["Unknown load", "未知的报送类型"],
        ["Use load=daily, history, supplement or correction.", "请使用 load=daily、history、supplement 或 correction。"];
    RecordsRefused = "records.refused", 422, ["No record accepted", "记录全部被拒绝"],
        ["`errors` names each record and field. Nothing was stored; correct and send again.", "errors 列出每条记录和字段的问题。未保存任何内容，请更正后重发。"];
    RecordsStrict = "records.strict-refused", 422, ["Refused as a whole: strict handling", "严格模式下整体拒绝"],
        ["At least one record is wrong and Prefer: handling=strict was asked for. Nothing was stored.", "至少一条记录有误，且要求严格处理（handling=strict）。未保存任何内容。"];
    // Sending once.
    IdempotencyMissing = "idempotency.missing", 400, ["Idempotency-Key missing", "缺少 Idempotency-Key"],
        ["Send a fresh random Idempotency-Key with each new submission, and the same one when repeating it.", "每次新提交请携带新的随机 Idempotency-Key，重发时使用同一个。"];
    IdempotencyMalformed = "idempotency.malformed", 400, ["Idempotency-Key not usable", "Idempotency-Key 无效"],
        ["Use 16 to 128 visible ASCII characters, for example a UUID.", "请使用 16 至 128 个可见 ASCII 字符，例如 UUID。"];
    IdempotencyReused = "idempotency.reused", 422, ["Idempotency-Key used for another request", "Idempotency-Key 已用于其他请求"],
        ["The same key came with a different body or parameters. Use a new key for a new submission.", "同一 Idempotency-Key 对应不同内容或参数。新提交请使用新的值。"];
    SubmissionUnknown = "submission.unknown", 404, ["No such submission", "提交编号不存在"],
        ["Use the id from your receipt; you see only your own.", "请使用回执中的编号；只能查询本单位的提交。"];
    // Pulling and answering.
    StreamUnknown = "stream.unknown", 404, ["No such stream", "数据流不存在"],
        ["GET /v1/streams lists yours.", "GET /v1/streams 列出可用的数据流。"];
    StreamNotYours = "stream.not-yours", 403, ["This stream is not yours", "该数据流不属于贵单位"],
        ["GET /v1/streams lists yours.", "GET /v1/streams 列出可用的数据流。"];
    StreamHeld = "stream.held", 409, ["Stream on hold", "数据流已暂停"],
        ["A security officer has put the stream on hold; ask them, and try again later.", "安全管理员已暂停该数据流，请联系并稍后再试。"];
    StreamAhead = "stream.ahead", 409, ["You are ahead of this node", "贵单位的进度超前于本节点"],
        ["You hold batches this node does not know: an older state was put back here. Stop pulling and tell its administrator; a new epoch will begin.", "贵单位持有本节点未知的批次，说明本节点恢复了旧数据。请停止拉取并联系节点管理员，将开启新的纪元。"];
    BatchUnknown = "batch.unknown", 404, ["No such batch", "批次不存在"],
        ["List the stream's batches; sequence numbers start at 1 without gaps.", "请列出该数据流的批次；序号从 1 开始且连续。"];
    BatchVoid = "batch.void", 410, ["Batch was voided", "批次已作废"],
        ["Its payload will not be served; the signed void in the stream says so. Go on with the next.", "其内容不再提供，数据流中有签名的作废说明。请继续下一批次。"];
    BatchExpired = "batch.expired", 410, ["Payload past its retention", "批次内容已超过保存期"],
        ["The payload was destroyed on schedule. Ask the node's administrator for a reissue.", "内容已按期销毁，请联系节点管理员重新下发。"];
    AcknowledgementMalformed = "acknowledgement.malformed", 400, ["Acknowledgement not valid", "确认回执无效"],
        ["See the acknowledgement's schema in the OpenAPI document.", "格式见 OpenAPI 文档中的确认回执定义。"];
    AcknowledgementNeverServed = "acknowledgement.never-served", 409, ["Batch was never served to you", "批次从未下发给贵单位"],
        ["Pull the batch first; then acknowledge it.", "请先拉取该批次，再提交确认。"];
    AcknowledgementDiffers = "acknowledgement.differs-from-first", 409, ["Already acknowledged otherwise", "已提交过不同的确认"],
        ["The first acknowledgement is final. Send later news as a notice.", "首次确认即为最终结果。后续情况请通过通知接口提交。"];
    AcknowledgementDigest = "acknowledgement.wrong-digest", 422, ["Manifest digest does not match", "清单摘要不一致"],
        ["You hold another manifest than this node issued. Do not store the batch; pull and verify it again.", "所持清单与本节点签发的不同。请勿入库，重新拉取并验证。"];
    AcknowledgementRange = "acknowledgement.record-out-of-range", 422, ["Record number outside the batch", "记录序号超出批次范围"],
        ["`record` is the zero-based line of the payload.", "record 为批次内容的行号，从 0 开始。"];
    AcknowledgementEpoch = "acknowledgement.other-epoch", 409, ["Acknowledgement for another node or epoch", "确认对应其他节点或纪元"],
        ["Compare node and epoch with the manifest; after a restore the epoch is new.", "请核对清单中的节点和纪元；恢复后纪元会更新。"];
    AcknowledgementSignature = "acknowledgement.signature", 422, ["Signature does not verify", "签名验证失败"],
        ["Sign with the acknowledgement key registered for you.", "请使用已登记的确认签名密钥。"];
    RecallUnknown = "recall.unknown", 404, ["No such recall", "撤回编号不存在"],
        ["Use the id from the receipt of a submission of yours that recalls: any operation but put, or a put with `replaces`.", "请使用本单位撤回类提交（put 以外的操作，或带 replaces 的 put）回执中的编号。"];
    // Officers.
    OfficerLockedOut = "officer.locked-out", 429, ["Locked out after failures", "多次失败，已被锁定"],
        ["Wait as Retry-After says, or have another officer of your role lift it: `xinqiao admin lockouts lift`.", "请按 Retry-After 等待，或由同角色的其他管理员解除：xinqiao admin lockouts lift。"];
    OfficerSelf = "officer.self", 403, ["This is about yourself", "该操作涉及本人"],
        ["Nobody changes his own entry or role; another security officer must propose it and a third approve it.", "不得变更本人的登记或角色；请由其他安全管理员提出并由第三人批准。"];
    LockoutUnknown = "lockout.unknown", 404, ["Nobody is locked out under this name", "该名称未被锁定"],
        ["`xinqiao admin lockouts list` shows who is; a lock-out ends by itself.", "xinqiao admin lockouts list 列出被锁定者；锁定会自动到期。"];
    ProposalUnknown = "proposal.unknown", 404, ["No such proposal", "提案不存在"],
        ["`xinqiao admin proposals list` shows them.", "xinqiao admin proposals list 列出全部提案。"];
    ProposalClosed = "proposal.closed", 409, ["Proposal is not open", "提案已不在待批状态"],
        ["It was decided, taken back or expired; look at it, and propose again if it is still wanted.", "提案已有结论、已撤回或已过期；请查看，如仍需要请重新提出。"];
    ProposalOwn = "proposal.own", 403, ["You have spoken for this proposal already", "您已对该提案表态"],
        ["A second security officer, with a certificate of his own, must approve it.", "须由另一名安全管理员使用其本人的证书批准。"];
    ProposalNotOwn = "proposal.not-own", 403, ["Not your proposal", "非本人提案"],
        ["Only its proposer takes it back; reject it instead.", "只有提出人可以撤回；您可以驳回。"];
    ProposalDigest = "proposal.digest", 409, ["Not the digest of this proposal", "摘要与提案不符"],
        ["Look at the proposal again and approve with the digest shown there.", "请重新查看提案，并使用所示摘要批准。"];
    ProposalOutdated = "proposal.outdated", 409, ["What the proposal touches has changed", "提案所涉内容已变化"],
        ["It was made on another state of the same members, anchors, policies or keys, or by an officer who is one no longer: withdraw or reject it and propose it again.", "提案提出后，所涉成员、信任锚、策略或密钥已变更，或提出、批准者已不再是安全管理员：请撤回或驳回后重新提出。"];
    ProposalActs = "proposal.acts", 422, ["Acts not usable", "操作内容不可用"],
        ["Name 1 to 64 acts, no two about the same thing; `adopt-files` stands alone. `errors` names the place.", "须含 1 至 64 项操作，且对象各不相同；adopt-files 须单独提出。errors 指明了位置。"];
    ProposalTooMany = "proposal.too-many", 409, ["Too many of your proposals are open", "您的待批提案过多"],
        ["Take back what is no longer wanted, or have it decided (`xinqiao admin proposals list`); what nobody decides expires.", "请先撤回不再需要的提案，或请他人审批、驳回（xinqiao admin proposals list）；逾期未决的会自动失效。"];
    ProposalIdle = "proposal.idle", 422, ["Nothing to change", "没有可变更的内容"],
        ["An act names a member that is not there, or is in that state already.", "操作所指的成员不存在，或已处于该状态。"];
    ProposalOfficers = "proposal.officers", 422, ["Too few security officers would be left", "剩余安全管理员不足"],
        ["With four eyes two must remain, without them one: enter another security officer first.", "双人复核时至少保留两名，单人时至少一名：请先登记新的安全管理员。"];
    ProposalAffects = "proposal.affects", 409, ["Members would be locked out", "将有成员无法接入"],
        ["`errors` names them. Correct the acts, or name each of them in `despite` if it is meant.", "errors 列出了受影响成员。请更正操作；如确属本意，请在 despite 中逐一列出。"];
    ProposalRefused = "proposal.refused", 422, ["Cannot be put into force", "无法生效"],
        ["Nothing was changed; the last good state is in force. The detail says what is in the way.", "未作任何变更，仍沿用上一有效状态。detail 说明了原因。"];
    // Limits and the node's own state.
    LimitMemberRate = "limit.member-rate", 429, ["Too many requests from you", "贵单位请求过于频繁"],
        ["Wait as Retry-After says, and send more records per request.", "请按 Retry-After 等待，并在每次请求中提交更多记录。"];
    LimitNodeRate = "limit.node-rate", 429, ["Too many requests at this node", "本节点请求过于频繁"],
        ["Wait as Retry-After says and repeat.", "请按 Retry-After 等待后重试。"];
    LimitMemberRequests = "limit.member-requests", 429, ["Too many requests at once from you", "贵单位并发请求过多"],
        ["Send fewer requests in parallel.", "请减少并发请求数。"];
    LimitMemberConnections = "limit.member-connections", 429, ["Too many connections from you", "贵单位连接过多"],
        ["Reuse connections; close those you no longer need.", "请复用连接，并关闭不再使用的连接。"];
    BusyMemory = "busy.memory", 503, ["Node is out of working memory", "节点内存预算已用尽"],
        ["Wait as Retry-After says and repeat with the same Idempotency-Key; smaller bodies help.", "请按 Retry-After 等待，并使用同一 Idempotency-Key 重发；减小请求体更易成功。"];
    BusyQueue = "busy.queue", 503, ["Node is catching up", "节点正在处理积压"],
        ["Wait as Retry-After says and repeat with the same Idempotency-Key.", "请按 Retry-After 等待，并使用同一 Idempotency-Key 重发。"];
    BusyStarting = "busy.starting", 503, ["Node is starting", "节点正在启动"],
        ["Wait as Retry-After says and repeat.", "请按 Retry-After 等待后重试。"];
    BusyDraining = "busy.draining", 503, ["Node is stopping", "节点正在停止"],
        ["Connect again; another instance or the restarted node will answer.", "请重新连接，由其他实例或重启后的节点处理。"];
    OutcomeUnknown = "outcome-unknown", 503, ["Outcome not known", "结果未知"],
        ["The write may or may not have reached the disk. Repeat with the same Idempotency-Key: it counts once.", "写入是否落盘尚不确定。请使用同一 Idempotency-Key 重发，只会计入一次。"];
    DiskFull = "disk.full", 503, ["Node's disk is full", "节点磁盘已满"],
        ["Nothing was stored. Batches can still be pulled; the administrator must free space.", "未保存任何内容。批次仍可拉取；需管理员释放空间。"];
    KeysUnavailable = "keys.unavailable", 503, ["Node cannot sign now", "节点暂时无法签名"],
        ["Nothing was stored. The node's key or its token does not answer; send again later with the same Idempotency-Key.", "未保存任何内容。节点的密钥或令牌没有响应，请稍后使用同一 Idempotency-Key 重发。"];
    DiskFailed = "disk.failed", 503, ["Node cannot write its disk", "节点无法写入磁盘"],
        ["Nothing was stored. The administrator must look at the node's health page.", "未保存任何内容。请管理员查看节点健康状态。"];
    JournalDamaged = "journal.damaged", 503, ["Stored data is damaged", "存储数据已损坏"],
        ["The damaged part is named in the node's log and is not served. Ask the administrator.", "损坏部分已在节点日志中指明，不再提供。请联系管理员。"];
    Internal = "internal", 500, ["Internal error", "内部错误"],
        ["Repeat with the same Idempotency-Key; if it persists, give the administrator the trace number.", "请使用同一 Idempotency-Key 重试；如仍失败，请将 trace 编号告知管理员。"];
}

impl RefusalCode {
    /// The code as it stands in documents, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The HTTP status it travels with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// What is wrong, in English and Chinese.
    #[must_use]
    pub fn title(self) -> [&'static str; 2] {
        self.row().title
    }

    /// What to do, in English and Chinese.
    #[must_use]
    pub fn advice(self) -> [&'static str; 2] {
        self.row().advice
    }

    /// The code whose text is `code`, for answers that come from elsewhere.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

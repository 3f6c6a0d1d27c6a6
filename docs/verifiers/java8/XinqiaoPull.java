import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.math.BigInteger;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.zip.GZIPInputStream;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Pulls the signed batches of a Xinqiao (信桥) node, verifies them, stores their lines and acknowledges them.
 *
 * <p>One file, Java 8, no library beside the JDK. Compile and run:
 *
 * <pre>
 *   javac -encoding UTF-8 --release 8 XinqiaoPull.java     (JDK 9 or later; on JDK 8: javac -encoding UTF-8 XinqiaoPull.java)
 *   java XinqiaoPull settings.properties                   pulls everything that is ready, then ends; run it every few minutes
 *   java XinqiaoPull verify node.jwks manifest.json payload    checks one batch that was saved before, offline
 * </pre>
 *
 * <p>README.md beside this directory lists the settings. Exit codes: 0 done; 1 failed (network, disk: run again);
 * 2 wrong usage or settings; 3 refused by the gateway, or a person must decide; 4 verification failed (keep the files,
 * call the node's operator).
 *
 * <p>To load records into your own database, change {@link #takeLines}: it gets each batch after everything about it
 * was verified, and before it is acknowledged.
 */
public final class XinqiaoPull {

    static final long MAX_RAW_BYTES = 4L << 30; // decoded bytes in one batch
    static final int MAX_LINE = 4 << 20;
    static final int MAX_RESPONSE = 64 << 20;

    // ------------------------------------------------------------------------------------------------------------
    // What you will want to change
    // ------------------------------------------------------------------------------------------------------------

    /**
     * Takes the verified lines of one batch: one JSON object per line, in UTF-8. Called before the batch is
     * acknowledged. If the program is stopped in between, it is called again for the same batch, so write it so that
     * taking a batch twice does no harm (each line has a "key" and a "rev": the highest rev of a key wins).
     *
     * @return the lines that your side cannot take, by rising line number from 0; empty if all is well. The message
     *     must not repeat values of the record. Throw an IOException if the whole batch cannot be stored now.
     */
    static List<LineError> takeLines(File lines, long seq) throws IOException {
        // For example:
        //   try (BufferedReader reader = Files.newBufferedReader(lines.toPath(), StandardCharsets.UTF_8)) {
        //       String line;
        //       for (long record = 0; (line = reader.readLine()) != null; record++) {
        //           Map<String, Object> fields = Json.object(Json.parse(line.getBytes(StandardCharsets.UTF_8)));
        //           // op "put": MERGE INTO ... ; op "withdraw" or "repair": take the key off every public page
        //       }
        //   }
        return Collections.emptyList();
    }

    /** A line that was not taken, with your own code for the reason. */
    static final class LineError {
        final long record;
        final String code;
        final String message;

        LineError(long record, String code, String message) {
            this.record = record;
            this.code = code;
            this.message = message;
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // The program
    // ------------------------------------------------------------------------------------------------------------

    public static void main(String[] arguments) {
        int code;
        try {
            if (arguments.length == 4 && arguments[0].equals("verify")) {
                verifySaved(new File(arguments[1]), new File(arguments[2]), new File(arguments[3]));
                code = 0;
            } else if (arguments.length == 1) {
                code = new XinqiaoPull(new Settings(new File(arguments[0]))).run();
            } else {
                System.err.println("usage: java XinqiaoPull settings.properties");
                System.err.println("       java XinqiaoPull verify node.jwks manifest.json payload");
                code = 2;
            }
        } catch (Stop stop) {
            System.err.println(stop.getMessage());
            code = stop.code;
        } catch (IOException error) {
            System.err.println("failed, run again: " + error);
            code = 1;
        } catch (GeneralSecurityException error) {
            System.err.println("failed: " + error);
            code = 1;
        }
        System.exit(code);
    }

    /** Ends the program with one of its exit codes. */
    static final class Stop extends Exception {
        private static final long serialVersionUID = 1L;
        final int code;

        Stop(int code, String message) {
            super(message);
            this.code = code;
        }
    }

    static Stop usage(String message) {
        return new Stop(2, "settings: " + message);
    }

    static Stop refused(String message) {
        return new Stop(3, "REFUSED: " + message);
    }

    static Stop unverified(String message) {
        return new Stop(4, "NOT VERIFIED: " + message);
    }

    static final class Settings {
        final String gateway;
        final String node;
        final String stream;
        final File directory;
        final File keys;
        final File keyStore;
        final char[] keyStorePassword;
        final File trustStore;
        final char[] trustStorePassword;
        final int limit;
        final List<String> schemas;
        final long adoptEpoch;

        Settings(File file) throws Stop, IOException {
            Properties properties = new Properties();
            try (InputStreamReader reader = new InputStreamReader(new FileInputStream(file), StandardCharsets.UTF_8)) {
                properties.load(reader);
            }
            gateway = must(properties, "gateway").replaceAll("/+$", "");
            node = must(properties, "node");
            stream = must(properties, "stream");
            directory = new File(must(properties, "directory"));
            keys = new File(must(properties, "keys"));
            keyStore = new File(must(properties, "key.store"));
            keyStorePassword = password(must(properties, "key.store.password.file"));
            trustStore = new File(must(properties, "trust.store"));
            String trustPassword = properties.getProperty("trust.store.password.file");
            trustStorePassword = trustPassword == null ? null : password(trustPassword);
            limit = Integer.parseInt(properties.getProperty("limit", "16").trim());
            schemas = Arrays.asList(properties.getProperty("schemas", "").trim().split("\\s*,\\s*"));
            adoptEpoch = Long.parseLong(properties.getProperty("adopt.epoch", "0").trim());
            if (limit < 1 || limit > 100) {
                throw usage("limit must be 1 to 100");
            }
            if (!gateway.startsWith("https://")) {
                throw usage("gateway must begin with https://");
            }
            if (!stream.matches("[a-z0-9-]{1,60}\\.[a-z0-9-]{1,60}(~[a-z0-9-]{1,30})?")) {
                throw usage("stream must look like province.administrative-penalty");
            }
        }

        private static String must(Properties properties, String name) throws Stop {
            String value = properties.getProperty(name, "").trim();
            if (value.isEmpty()) {
                throw usage(name + " is missing");
            }
            return value;
        }

        private static char[] password(String file) throws IOException {
            byte[] bytes = Files.readAllBytes(new File(file).toPath());
            return new String(bytes, StandardCharsets.UTF_8).trim().toCharArray();
        }
    }

    private final Settings settings;
    private final Keys keys;
    private final Http http;
    private final File directory;

    XinqiaoPull(Settings settings) throws Stop, IOException, GeneralSecurityException {
        this.settings = settings;
        this.keys = new Keys(readAll(settings.keys));
        this.http = new Http(settings);
        this.directory = new File(settings.directory, settings.stream);
        Files.createDirectories(directory.toPath());
    }

    int run() throws Stop, IOException, GeneralSecurityException {
        Chain chain = Chain.load(new File(directory, "state.properties"), settings);
        sendPendingAcknowledgements();
        boolean more = true;
        while (more) {
            String path = "/v1/streams/" + settings.stream + "/batches?after=" + chain.seq + "&limit=" + settings.limit;
            Map<String, Object> list = Json.object(Json.parse(http.get(path, MAX_RESPONSE)));
            if (list.get("epoch") instanceof Long && chain.epoch != 0) {
                chain.checkEpoch((Long) list.get("epoch"));
            }
            List<Object> batches = Json.array(list.get("batches"));
            for (Object batch : batches) {
                Map<String, Object> item = Json.object(batch);
                take(Manifest.verify(Json.object(item.get("manifest")), keys), item, chain);
            }
            more = Boolean.TRUE.equals(list.get("more")) && !batches.isEmpty();
        }
        System.out.println("done: " + settings.stream + " up to batch " + chain.seq + " of epoch " + chain.epoch);
        return 0;
    }

    /** Verifies, stores and acknowledges one batch. A crash between any two steps loses nothing: run again. */
    private void take(Manifest manifest, Map<String, Object> item, Chain chain)
            throws Stop, IOException, GeneralSecurityException {
        chain.check(manifest);
        String name = String.format("%d", manifest.seq);
        if (manifest.control != null && !settings.schemas.contains(manifest.control)) {
            throw refused("batch " + name + " announces the schema " + manifest.control + ". Prepare your tables for it, add it"
                    + " to the setting `schemas`, and run again; until then nothing newer is delivered");
        }
        File lines = new File(directory, name + ".ndjson");
        List<LineError> errors = Collections.emptyList();
        boolean empty = manifest.isVoid;
        try {
            File payload = new File(directory, name + ".payload.part");
            File part = new File(directory, name + ".ndjson.part");
            boolean there = false;
            if (!empty) {
                there = http.download("/v1/streams/" + settings.stream + "/batches/" + name + "/payload", payload, manifest.bytes);
            }
            if (there) {
                manifest.verifyPayload(payload, part);
                move(part, lines);
            } else if (empty || !lines.exists()) {
                empty = true;
                write(lines, new byte[0]); // its place in the chain stands, with nothing in it
            } // else: verified by an earlier run that could not take them
            Files.deleteIfExists(payload.toPath());
        } catch (Stop stop) {
            if (stop.code == 4) {
                // The manifest is genuine but its payload is not what it says: tell the node, which alerts and reissues.
                acknowledge(manifest, "rejected", errors);
            }
            throw stop;
        }
        if (manifest.isVoid) {
            System.out.println("batch " + name + " is void: its records are no longer to be delivered");
        } else if (empty) {
            System.out.println("batch " + name + " was taken back, or is past its age: nothing of it is to be had any more");
        } else {
            errors = takeLines(lines, manifest.seq);
        }
        write(new File(directory, name + ".manifest.json"), Json.write(item.get("manifest")));
        if (item.get("proof") instanceof String) {
            write(new File(directory, name + ".tlog-proof"), ((String) item.get("proof")).getBytes(StandardCharsets.UTF_8));
        }
        File pending = writeAcknowledgement(manifest, errors.isEmpty() ? "accepted" : "partial", errors);
        chain.advance(manifest);
        send(pending);
        System.out.println("batch " + name + ": " + (empty ? 0 : manifest.records) + " lines, " + errors.size() + " refused");
    }

    // ---- acknowledgements: written first, then sent, so that none is lost ------------------------------------------

    private void acknowledge(Manifest manifest, String outcome, List<LineError> errors) throws Stop, IOException {
        send(writeAcknowledgement(manifest, outcome, errors));
    }

    private File writeAcknowledgement(Manifest manifest, String outcome, List<LineError> errors) throws IOException {
        List<Object> list = new ArrayList<>();
        for (LineError error : errors) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("code", error.code);
            one.put("message", error.message);
            one.put("record", error.record);
            list.add(one);
        }
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("epoch", manifest.epoch);
        body.put("errors", list);
        body.put("manifest_digest", Collections.singletonMap("sha-256", hex(manifest.digest)));
        body.put("node", manifest.node);
        body.put("outcome", outcome);
        body.put("seq", manifest.seq);
        body.put("stream", manifest.stream);
        body.put("time", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
        File file = new File(directory, manifest.epoch + "-" + manifest.seq + ".ack.json");
        write(file, Json.write(body));
        return file;
    }

    private void sendPendingAcknowledgements() throws Stop, IOException {
        File[] pending = directory.listFiles((dir, name) -> name.endsWith(".ack.json"));
        if (pending != null) {
            Arrays.sort(pending);
            for (File file : pending) {
                send(file);
            }
        }
    }

    private void send(File pending) throws Stop, IOException {
        http.post("/v1/streams/" + settings.stream + "/acknowledgements", readAll(pending));
        move(pending, new File(pending.getPath().replaceAll("\\.ack\\.json$", ".ack.sent.json")));
    }

    // ---- offline ---------------------------------------------------------------------------------------------------

    static void verifySaved(File keys, File manifestFile, File payload) throws Stop, IOException, GeneralSecurityException {
        Manifest manifest = Manifest.verify(Json.object(Json.parse(readAll(manifestFile))), new Keys(readAll(keys)));
        File part = File.createTempFile("xinqiao", ".ndjson");
        try {
            manifest.verifyPayload(payload, part);
        } finally {
            Files.delete(part.toPath());
        }
        System.out.println("verified: " + manifest.node + " " + manifest.stream + " epoch " + manifest.epoch + " batch "
                + manifest.seq + ", " + manifest.records + " lines, manifest digest " + hex(manifest.digest));
    }

    // ------------------------------------------------------------------------------------------------------------
    // The chain: no batch lost, reordered, replaced or forked
    // ------------------------------------------------------------------------------------------------------------

    static final class Chain {
        private final File file;
        private final Settings settings;
        long epoch;
        long seq; // the newest batch accepted
        String digest; // of its manifest; "" before the first

        private Chain(File file, Settings settings) {
            this.file = file;
            this.settings = settings;
        }

        static Chain load(File file, Settings settings) throws Stop, IOException {
            Chain chain = new Chain(file, settings);
            Properties saved = new Properties();
            if (file.exists()) {
                try (InputStream in = new FileInputStream(file)) {
                    saved.load(in);
                }
                if (!settings.node.equals(saved.getProperty("node"))) {
                    throw usage("the directory holds batches of node " + saved.getProperty("node"));
                }
            }
            chain.epoch = Long.parseLong(saved.getProperty("epoch", "0"));
            chain.seq = Long.parseLong(saved.getProperty("seq", "0"));
            chain.digest = saved.getProperty("digest", "");
            if (settings.adoptEpoch > chain.epoch && chain.epoch > 0) {
                chain.epoch = settings.adoptEpoch;
                chain.seq = 0;
                chain.digest = "";
            }
            return chain;
        }

        void check(Manifest manifest) throws Stop {
            if (!manifest.node.equals(settings.node) || !manifest.stream.equals(settings.stream)) {
                throw unverified("the batch is of " + manifest.node + " " + manifest.stream);
            }
            if (epoch == 0) {
                epoch = manifest.epoch; // nothing came before: the first batch shows the epoch
            }
            checkEpoch(manifest.epoch);
            if (manifest.seq > seq + 1) {
                throw unverified("batch " + (seq + 1) + " is missing: the gateway gave " + manifest.seq);
            }
            if (manifest.seq < seq + 1) {
                throw unverified("batch " + manifest.seq + " came again after " + seq);
            }
            if (!manifest.prev.equals(digest)) {
                throw unverified("batch " + manifest.seq + " does not follow the batch accepted before it: two histories");
            }
        }

        void checkEpoch(long found) throws Stop {
            if (found != epoch) {
                throw refused("the node is in epoch " + found + ", this directory in " + epoch + ": the node was restored from a"
                        + " backup. Ask its operator, then set adopt.epoch=" + found);
            }
        }

        void advance(Manifest manifest) throws IOException {
            seq = manifest.seq;
            digest = hex(manifest.digest);
            String text = "node=" + settings.node + "\nepoch=" + epoch + "\nseq=" + seq + "\ndigest=" + digest + "\n";
            write(file, text.getBytes(StandardCharsets.UTF_8));
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // The manifest: a JWS signed with ES256 by a pinned key
    // ------------------------------------------------------------------------------------------------------------

    static final class Manifest {
        private static final List<String> KNOWN = Arrays.asList("control", "created", "dataset", "epoch", "mapping_digest", "node",
                "origins", "payload", "policy", "policy_digest", "prev", "recipient", "records", "records_root", "schema",
                "schema_digest", "seq", "stream", "v", "void");

        String node;
        String stream;
        long epoch;
        long seq;
        String prev;
        long records;
        byte[] recordsRoot;
        String mediaType;
        long bytes;
        long rawBytes;
        byte[] payloadDigest;
        byte[] digest; // SHA-256 of the decoded JWS payload
        boolean isVoid;
        String control; // the announced schema, or null

        static Manifest verify(Map<String, Object> jws, Keys keys) throws Stop, GeneralSecurityException {
            String encoded = Json.text(jws.get("payload"));
            Instant[] service = null;
            for (Object one : Json.array(jws.get("signatures"))) {
                Map<String, Object> signature = Json.object(one);
                String protectedHeader = Json.text(signature.get("protected"));
                Map<String, Object> header = Json.object(Json.parse(base64Url(protectedHeader)));
                if (!"ES256".equals(header.get("alg"))) {
                    continue; // a second signature (SM2) may stand beside the one we know
                }
                if (header.containsKey("crit") || header.containsKey("b64")) {
                    throw unverified("the signature asks for an extension");
                }
                if (!"xinqiao-manifest+jws".equals(header.get("typ"))) {
                    throw unverified("not a manifest: typ is " + header.get("typ"));
                }
                // The key comes from the pinned file alone; x5c, jwk or jku in the header are never looked at.
                Keys.Key key = keys.find(header.get("kid"));
                if (key == null) {
                    continue;
                }
                byte[] input = (protectedHeader + "." + encoded).getBytes(StandardCharsets.US_ASCII);
                if (!key.verifies(input, base64Url(Json.text(signature.get("signature"))))) {
                    throw unverified("the manifest's signature is wrong: altered or damaged");
                }
                service = new Instant[] {key.notBefore, key.retired};
            }
            if (service == null) {
                throw unverified("the manifest is not signed by a pinned key; get the node's current key set through a channel"
                        + " you trust");
            }
            Manifest manifest = new Manifest(base64Url(encoded));
            Instant created = manifest.created;
            if ((service[0] != null && created.isBefore(service[0])) || (service[1] != null && !created.isBefore(service[1]))) {
                throw unverified("the manifest is dated outside its key's time of service");
            }
            return manifest;
        }

        private Instant created;

        private Manifest(byte[] payload) throws Stop {
            Map<String, Object> members = Json.object(Json.parse(payload));
            if (!Long.valueOf(1).equals(members.get("v"))) {
                throw unverified("the manifest is of version " + members.get("v") + "; this program reads 1: get a newer one");
            }
            for (String name : members.keySet()) {
                if (!KNOWN.contains(name)) {
                    throw unverified("the manifest has a member this program does not know: " + name);
                }
            }
            digest = sha256(payload);
            node = Json.text(members.get("node"));
            stream = Json.text(members.get("stream"));
            epoch = Json.number(members.get("epoch"));
            seq = Json.number(members.get("seq"));
            prev = members.get("prev") == null ? "" : sha256Of(members.get("prev"));
            records = Json.number(members.get("records"));
            recordsRoot = unhex(sha256Of(members.get("records_root")));
            created = instant(Json.text(members.get("created")));
            Map<String, Object> content = Json.object(members.get("payload"));
            mediaType = Json.text(content.get("media_type"));
            bytes = Json.number(content.get("bytes"));
            rawBytes = Json.number(content.get("raw_bytes"));
            payloadDigest = unhex(sha256Of(content.get("digest")));
            isVoid = members.containsKey("void");
            control = members.containsKey("control")
                    ? Json.text(Json.object(members.get("control")).get("schema")) : null;
            if ((seq == 1) != prev.isEmpty() || seq < 1 || epoch < 1 || rawBytes > MAX_RAW_BYTES) {
                throw unverified("the manifest contradicts itself, or the batch is larger than this program takes");
            }
        }

        /** Checks the payload's bytes and writes its lines to `lines`; a Stop with code 4 if anything differs. */
        void verifyPayload(File payload, File lines) throws Stop, IOException {
            MessageDigest whole = newSha256();
            long length = 0;
            try (InputStream in = new FileInputStream(payload)) {
                byte[] buffer = new byte[65536];
                for (int n; (n = in.read(buffer)) > 0; length += n) {
                    whole.update(buffer, 0, n);
                }
            }
            if (length != bytes || !MessageDigest.isEqual(whole.digest(), payloadDigest)) {
                throw unverified("the payload of batch " + seq + " is not the one the manifest describes (length or SHA-256)");
            }
            Lines reader = new Lines();
            // GZIPInputStream goes on to the next member only while available() tells it of more input, which a file
            // does and a network stream need not: hence the file, and hence the check of raw_bytes below.
            try (InputStream in = decoded(new BufferedInputStream(new FileInputStream(payload), 65536));
                    FileOutputStream file = new FileOutputStream(lines);
                    OutputStream out = new BufferedOutputStream(file, 65536)) {
                byte[] buffer = new byte[65536];
                long raw = 0;
                for (int n; (n = read(in, buffer)) > 0; ) {
                    raw += n;
                    if (raw > rawBytes) {
                        throw unverified("the payload decodes to more than the manifest says");
                    }
                    reader.take(buffer, n);
                    out.write(buffer, 0, n);
                }
                if (raw != rawBytes) {
                    throw unverified("the payload decodes to " + raw + " bytes instead of " + rawBytes
                            + ": some gzip members were not read");
                }
                out.flush();
                file.getFD().sync();
            }
            if (reader.pending.size() != 0 || reader.count != records) {
                throw unverified("the payload has " + reader.count + " lines instead of " + records);
            }
            if (!MessageDigest.isEqual(reader.tree.root(), recordsRoot)) {
                throw unverified("the Merkle root over the lines is not the manifest's");
            }
        }

        private InputStream decoded(InputStream in) throws Stop, IOException {
            if (bytes == 0 || mediaType.equals("application/x-ndjson")) {
                return in;
            }
            if (mediaType.equals("application/gzip")) {
                try {
                    return new GZIPInputStream(in, 65536);
                } catch (java.util.zip.ZipException | java.io.EOFException damaged) {
                    in.close();
                    throw unverified("the payload is not gzip: " + damaged.getMessage());
                }
            }
            in.close();
            throw refused("the payload is " + mediaType + "; ask the node's operator to set this stream to gzip");
        }

        private static int read(InputStream in, byte[] buffer) throws Stop, IOException {
            try {
                return in.read(buffer);
            } catch (java.util.zip.ZipException | java.io.EOFException damaged) {
                throw unverified("the payload does not decode: " + damaged.getMessage());
            }
        }
    }

    /** Splits decoded bytes into lines and hashes each into the tree of RFC 6962. */
    static final class Lines {
        final ByteArrayOutputStream pending = new ByteArrayOutputStream();
        final Tree tree = new Tree();
        long count;

        void take(byte[] buffer, int length) throws Stop {
            int start = 0;
            for (int i = 0; i < length; i++) {
                if (buffer[i] == '\n') {
                    pending.write(buffer, start, i - start);
                    if (pending.size() == 0) {
                        throw unverified("line " + count + " is empty");
                    }
                    tree.add(pending.toByteArray());
                    pending.reset();
                    count++;
                    start = i + 1;
                }
            }
            pending.write(buffer, start, length - start);
            if (pending.size() > MAX_LINE) {
                throw unverified("line " + count + " is too long");
            }
        }
    }

    /** The Merkle tree of RFC 6962: leaf = SHA-256(0x00, line), node = SHA-256(0x01, left, right). */
    static final class Tree {
        private final byte[][] complete = new byte[64][];
        private final MessageDigest sha256 = newSha256();

        void add(byte[] leaf) {
            sha256.update((byte) 0);
            byte[] hash = sha256.digest(leaf);
            int level = 0;
            for (; complete[level] != null; level++) {
                hash = node(complete[level], hash);
                complete[level] = null;
            }
            complete[level] = hash;
        }

        byte[] root() {
            byte[] root = null;
            for (byte[] left : complete) {
                if (left != null) {
                    root = root == null ? left : node(left, root);
                }
            }
            return root == null ? sha256.digest() : root;
        }

        private byte[] node(byte[] left, byte[] right) {
            sha256.update((byte) 1);
            sha256.update(left);
            return sha256.digest(right);
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // Pinned keys
    // ------------------------------------------------------------------------------------------------------------

    static final class Keys {
        private final Map<String, Key> byId = new LinkedHashMap<>();

        Keys(byte[] jwks) throws Stop, GeneralSecurityException {
            for (Object one : Json.array(Json.object(Json.parse(jwks)).get("keys"))) {
                Map<String, Object> jwk = Json.object(one);
                boolean ours = "EC".equals(jwk.get("kty")) && "P-256".equals(jwk.get("crv")) && "manifest".equals(jwk.get("xq_use"));
                if (ours && byId.put(Json.text(jwk.get("kid")), new Key(jwk)) != null) {
                    throw usage("the key set has two keys with one kid");
                }
            }
            if (byId.isEmpty()) {
                throw usage("the key set has no manifest key (kty EC, crv P-256, xq_use manifest)");
            }
        }

        Key find(Object kid) {
            return kid instanceof String ? byId.get(kid) : null;
        }

        static final class Key {
            final PublicKey key;
            final BigInteger order;
            final Instant notBefore;
            final Instant retired;

            Key(Map<String, Object> jwk) throws Stop, GeneralSecurityException {
                AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
                parameters.init(new ECGenParameterSpec("secp256r1"));
                ECParameterSpec curve = parameters.getParameterSpec(ECParameterSpec.class);
                ECPoint point = new ECPoint(
                        new BigInteger(1, base64Url(Json.text(jwk.get("x")))), new BigInteger(1, base64Url(Json.text(jwk.get("y")))));
                key = KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(point, curve));
                order = curve.getOrder();
                notBefore = jwk.get("not_before") == null ? null : instant(Json.text(jwk.get("not_before")));
                retired = jwk.get("retired") == null ? null : instant(Json.text(jwk.get("retired")));
            }

            boolean verifies(byte[] message, byte[] raw) throws GeneralSecurityException {
                if (raw.length != 64) {
                    return false;
                }
                BigInteger r = new BigInteger(1, Arrays.copyOfRange(raw, 0, 32));
                BigInteger s = new BigInteger(1, Arrays.copyOfRange(raw, 32, 64));
                // Some Java releases (15 to 18.0.0) take r = s = 0 for any message, so the range is checked here.
                if (r.signum() == 0 || s.signum() == 0 || r.compareTo(order) >= 0 || s.compareTo(order) >= 0) {
                    return false;
                }
                Signature signature = Signature.getInstance("SHA256withECDSA");
                signature.initVerify(key);
                signature.update(message);
                return signature.verify(der(r, s));
            }

            /** JOSE writes r and s side by side; Java wants them as a DER sequence of two integers. */
            private static byte[] der(BigInteger r, BigInteger s) {
                byte[] first = r.toByteArray();
                byte[] second = s.toByteArray();
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                out.write(0x30);
                out.write(4 + first.length + second.length);
                out.write(0x02);
                out.write(first.length);
                out.write(first, 0, first.length);
                out.write(0x02);
                out.write(second.length);
                out.write(second, 0, second.length);
                return out.toByteArray();
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // HTTP over mutual TLS
    // ------------------------------------------------------------------------------------------------------------

    static final class Http {
        private final String gateway;
        private final SSLContext context;

        Http(Settings settings) throws Stop, IOException, GeneralSecurityException {
            gateway = settings.gateway;
            KeyStore own = KeyStore.getInstance("PKCS12");
            try (InputStream in = new FileInputStream(settings.keyStore)) {
                own.load(in, settings.keyStorePassword);
            }
            KeyManagerFactory keyManagers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keyManagers.init(own, settings.keyStorePassword);
            TrustManagerFactory trustManagers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trustManagers.init(trusted(settings));
            // TLS 1.3 needs Java 8u261 or later; older ones must use the node's second listener, which speaks TLS 1.2.
            context = SSLContext.getInstance("TLS");
            context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        }

        /** The trust store: PEM certificates as the node's operator hands them out, PKCS#12, or JKS. */
        private static KeyStore trusted(Settings settings) throws Stop, IOException, GeneralSecurityException {
            byte[] bytes = readAll(settings.trustStore);
            KeyStore store;
            if (new String(bytes, StandardCharsets.ISO_8859_1).contains("-----BEGIN CERTIFICATE-----")) {
                store = KeyStore.getInstance(KeyStore.getDefaultType());
                store.load(null, null);
                int number = 0;
                for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(bytes))) {
                    store.setCertificateEntry("anchor-" + number++, one);
                }
            } else {
                boolean jks = bytes.length > 4 && bytes[0] == (byte) 0xfe && bytes[1] == (byte) 0xed;
                store = KeyStore.getInstance(jks ? "JKS" : "PKCS12");
                store.load(new ByteArrayInputStream(bytes), settings.trustStorePassword);
            }
            return store;
        }

        byte[] get(String path, int cap) throws Stop, IOException {
            HttpsURLConnection connection = open(path);
            expect(connection, path);
            try (InputStream in = connection.getInputStream()) {
                return readCapped(in, cap);
            }
        }

        /** Whether there was anything: a batch may be taken back, or pass its age, after its manifest was read (410). */
        boolean download(String path, File to, long length) throws Stop, IOException {
            HttpsURLConnection connection = open(path);
            if (connection.getResponseCode() == 410) {
                String problem = problem(connection);
                if (problem.contains("\"batch.void\"") || problem.contains("\"batch.expired\"")) {
                    System.out.println(path + ": " + problem);
                    return false;
                }
                throw refused(path + ": HTTP 410 " + problem);
            }
            expect(connection, path);
            long total = 0;
            try (InputStream in = connection.getInputStream(); OutputStream out = new FileOutputStream(to)) {
                byte[] buffer = new byte[65536];
                for (int n; (n = in.read(buffer)) > 0; ) {
                    total += n;
                    if (total > length) {
                        throw unverified("the payload is longer than the manifest says");
                    }
                    out.write(buffer, 0, n);
                }
            }
            if (total < length) {
                throw new IOException("the payload ended after " + total + " of " + length + " bytes");
            }
            return true;
        }

        void post(String path, byte[] body) throws Stop, IOException {
            HttpsURLConnection connection = open(path);
            connection.setRequestMethod("POST");
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setDoOutput(true);
            connection.setFixedLengthStreamingMode(body.length);
            try (OutputStream out = connection.getOutputStream()) {
                out.write(body);
            }
            expect(connection, path);
        }

        private HttpsURLConnection open(String path) throws IOException {
            HttpsURLConnection connection = (HttpsURLConnection) new URL(gateway + path).openConnection();
            connection.setSSLSocketFactory(context.getSocketFactory());
            connection.setInstanceFollowRedirects(false);
            connection.setConnectTimeout(15_000);
            connection.setReadTimeout(120_000);
            return connection;
        }

        private static String problem(HttpsURLConnection connection) throws Stop, IOException {
            try (InputStream in = connection.getErrorStream()) {
                return in == null ? "" : new String(readCapped(in, 65536), StandardCharsets.UTF_8);
            }
        }

        /** 5xx and 429 pass when the program is run again; every other refusal needs a person. */
        private static void expect(HttpsURLConnection connection, String path) throws Stop, IOException {
            int status = connection.getResponseCode();
            if (status >= 200 && status < 300) {
                return;
            }
            String problem = problem(connection);
            if (status >= 500 || status == 429) {
                throw new IOException(path + ": HTTP " + status + " " + problem);
            }
            throw refused(path + ": HTTP " + status + " " + problem);
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // JSON, strictly: no duplicate members, no fractions, no trailing text
    // ------------------------------------------------------------------------------------------------------------

    static final class Json {
        private static final int MAX_DEPTH = 32;
        private final String text;
        private int place;

        private Json(String text) {
            this.text = text;
        }

        /** Maps, lists, strings, Longs, Booleans and null. */
        static Object parse(byte[] bytes) throws Stop {
            Json json;
            try {
                json = new Json(StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
                        .onUnmappableCharacter(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(bytes)).toString());
            } catch (CharacterCodingException notUtf8) {
                throw unverified("JSON is not UTF-8");
            }
            Object value = json.value(0);
            json.space();
            if (json.place != json.text.length()) {
                throw json.wrong();
            }
            return value;
        }

        @SuppressWarnings("unchecked")
        static Map<String, Object> object(Object value) throws Stop {
            if (!(value instanceof Map)) {
                throw unverified("JSON: an object is missing");
            }
            return (Map<String, Object>) value;
        }

        @SuppressWarnings("unchecked")
        static List<Object> array(Object value) throws Stop {
            if (!(value instanceof List)) {
                throw unverified("JSON: a list is missing");
            }
            return (List<Object>) value;
        }

        static String text(Object value) throws Stop {
            if (!(value instanceof String)) {
                throw unverified("JSON: a text is missing");
            }
            return (String) value;
        }

        static long number(Object value) throws Stop {
            if (!(value instanceof Long) || (Long) value < 0) {
                throw unverified("JSON: a whole number is missing");
            }
            return (Long) value;
        }

        private Object value(int depth) throws Stop {
            space();
            char c = peek();
            if (depth > MAX_DEPTH) {
                throw wrong();
            } else if (c == '{') {
                return members(depth);
            } else if (c == '[') {
                return items(depth);
            } else if (c == '"') {
                return string();
            } else if (c == '-' || (c >= '0' && c <= '9')) {
                return integer();
            }
            for (Object[] literal : new Object[][] {{"true", true}, {"false", false}, {"null", null}}) {
                if (text.startsWith((String) literal[0], place)) {
                    place += ((String) literal[0]).length();
                    return literal[1];
                }
            }
            throw wrong();
        }

        private Map<String, Object> members(int depth) throws Stop {
            Map<String, Object> map = new LinkedHashMap<>();
            place++;
            space();
            if (peek() == '}') {
                place++;
                return map;
            }
            while (true) {
                space();
                String name = string();
                space();
                take(':');
                Object value = value(depth + 1);
                if (map.containsKey(name)) {
                    throw unverified("JSON: a member appears twice");
                }
                map.put(name, value);
                space();
                if (peek() == '}') {
                    place++;
                    return map;
                }
                take(',');
            }
        }

        private List<Object> items(int depth) throws Stop {
            List<Object> list = new ArrayList<>();
            place++;
            space();
            if (peek() == ']') {
                place++;
                return list;
            }
            while (true) {
                list.add(value(depth + 1));
                space();
                if (peek() == ']') {
                    place++;
                    return list;
                }
                take(',');
            }
        }

        private Long integer() throws Stop {
            int start = place;
            if (peek() == '-') {
                place++;
            }
            while (place < text.length() && text.charAt(place) >= '0' && text.charAt(place) <= '9') {
                place++;
            }
            String digits = text.substring(start, place);
            boolean fraction = place < text.length() && ".eE".indexOf(text.charAt(place)) >= 0;
            if (fraction || !digits.matches("0|-?[1-9][0-9]{0,15}")) {
                throw wrong();
            }
            return Long.valueOf(digits);
        }

        private String string() throws Stop {
            take('"');
            StringBuilder out = new StringBuilder();
            while (true) {
                char c = peek();
                place++;
                if (c == '"') {
                    return out.toString();
                } else if (c < ' ') {
                    throw wrong();
                } else if (c != '\\') {
                    out.append(c);
                    continue;
                }
                c = peek();
                place++;
                int escape = "\"\\/bfnrt".indexOf(c);
                if (escape >= 0) {
                    out.append("\"\\/\b\f\n\r\t".charAt(escape));
                } else if (c == 'u' && place + 4 <= text.length() && text.substring(place, place + 4).matches("[0-9a-fA-F]{4}")) {
                    out.append((char) Integer.parseInt(text.substring(place, place + 4), 16));
                    place += 4;
                } else {
                    throw wrong();
                }
            }
        }

        private void take(char c) throws Stop {
            if (peek() != c) {
                throw wrong();
            }
            place++;
        }

        private char peek() throws Stop {
            if (place >= text.length()) {
                throw wrong();
            }
            return text.charAt(place);
        }

        private void space() {
            while (place < text.length() && " \t\n\r".indexOf(text.charAt(place)) >= 0) {
                place++;
            }
        }

        private Stop wrong() {
            return unverified("JSON is malformed at character " + place);
        }

        static byte[] write(Object value) {
            StringBuilder out = new StringBuilder();
            write(value, out);
            return out.toString().getBytes(StandardCharsets.UTF_8);
        }

        private static void write(Object value, StringBuilder out) {
            String separator = "";
            if (value instanceof Map) {
                out.append('{');
                for (Map.Entry<?, ?> member : ((Map<?, ?>) value).entrySet()) {
                    out.append(separator);
                    write(member.getKey(), out);
                    out.append(':');
                    write(member.getValue(), out);
                    separator = ",";
                }
                out.append('}');
            } else if (value instanceof List) {
                out.append('[');
                for (Object item : (List<?>) value) {
                    out.append(separator);
                    write(item, out);
                    separator = ",";
                }
                out.append(']');
            } else if (value instanceof String) {
                out.append('"');
                for (char c : ((String) value).toCharArray()) {
                    if (c == '"' || c == '\\') {
                        out.append('\\').append(c);
                    } else if (c < ' ') {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
                out.append('"');
            } else {
                out.append(value);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // Small parts
    // ------------------------------------------------------------------------------------------------------------

    static MessageDigest newSha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }

    static byte[] sha256(byte[] bytes) {
        return newSha256().digest(bytes);
    }

    /** The SHA-256 digest in a map of digests; other algorithms in it are passed over. */
    static String sha256Of(Object digests) throws Stop {
        String digest = Json.text(Json.object(digests).get("sha-256"));
        if (!digest.matches("[0-9a-f]{64}")) {
            throw unverified("a digest is malformed");
        }
        return digest;
    }

    static Instant instant(String text) throws Stop {
        try {
            return Instant.parse(text);
        } catch (java.time.DateTimeException malformed) {
            throw unverified("a time is malformed");
        }
    }

    static byte[] base64Url(String text) throws Stop {
        try {
            byte[] bytes = Base64.getUrlDecoder().decode(text);
            if (Base64.getUrlEncoder().withoutPadding().encodeToString(bytes).equals(text)) {
                return bytes;
            }
        } catch (IllegalArgumentException malformed) {
            // falls through
        }
        throw unverified("base64url is malformed");
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }

    static byte[] unhex(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    static byte[] readAll(File file) throws IOException {
        return Files.readAllBytes(file.toPath());
    }

    static byte[] readCapped(InputStream in, int cap) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] buffer = new byte[65536];
        for (int n; (n = in.read(buffer)) > 0; ) {
            out.write(buffer, 0, n);
            if (out.size() > cap) {
                throw new IOException("the response exceeds " + cap + " bytes");
            }
        }
        return out.toByteArray();
    }

    /** Writes a file so that after a power cut either the old or the new content is there, never half of it. */
    static void write(File file, byte[] content) throws IOException {
        File part = new File(file.getPath() + ".part");
        try (FileOutputStream out = new FileOutputStream(part)) {
            out.write(content);
            out.getFD().sync();
        }
        move(part, file);
    }

    static void move(File from, File to) throws IOException {
        Files.move(from.toPath(), to.toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}

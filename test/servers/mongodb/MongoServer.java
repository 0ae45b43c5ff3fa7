import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Collection;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import io.netty.channel.Channel;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.IntUnaryOperator;
import java.util.stream.Collectors;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;

/**
 * A stand-in for MongoDB for tests, made of mongo-java-server: `java -cp 'classes:jars/*' MongoServer <port> [file]`.
 * Port 0 stands for any free port. Without a file, the data ends with the process. The program prints its port when the
 * server is ready, and ends when the program's stdin ends.
 */
public final class MongoServer {
    /** Ends the process if the start fails. The threads that it has started would otherwise keep the process alive. */
    public static void main(String[] args) {
        try {
            run(args);
        } catch (Throwable failure) {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void run(String[] args) throws Exception {
        var backend = new CodePointOrder(args.length > 1 ? args[1] : null);
        backend.version(new Version5());
        backend.saveEachSecond();
        var server = new de.bwaldvogel.mongo.MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
        System.out.println(server.getLocalAddress().getPort());
        while (System.in.read() != -1) {}
        System.exit(0);
    }

    /** Reports a newer version of MongoDB: the driver refuses the version that mongo-java-server reports by itself. */
    private static final class Version5 implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    /**
     * MongoDB orders strings by code point, mongo-java-server by UTF-16 unit. The two orders differ only where a string
     * has surrogates. So we store surrogates as the greatest units, and move the units above the surrogates down.
     */
    private static final class CodePointOrder extends H2Backend {
        CodePointOrder(String file) {
            super(MVStore.open(file));
        }

        /**
         * Saves the data between two commands, every second. By itself, H2 saves in the middle of a command: after a
         * kill, the file could then contain a later command without an earlier one, which no MongoDB server shows.
         */
        void saveEachSecond() {
            getMvStore().setAutoCommitDelay(0);
            var saving = Executors.newSingleThreadScheduledExecutor(task -> {
                var thread = new Thread(task, "saving");
                thread.setDaemon(true);
                return thread;
            });
            saving.scheduleWithFixedDelay(this::save, 1, 1, TimeUnit.SECONDS);
        }

        private synchronized void save() {
            if (!getMvStore().isClosed()) getMvStore().commit();
        }

        @Override
        protected MongoDatabase openOrCreateDatabase(String name) {
            return new H2Database(name, getMvStore(), getCursorRegistry()) {
                @Override
                protected MongoCollection<Object> openOrCreateCollection(String name, CollectionOptions options) {
                    var fullName = getFullCollectionNamespace(name);
                    MVMap<Object, Document> documents = getMvStore().openMap("databases." + fullName);
                    MVMap<String, Object> meta = getMvStore().openMap("meta." + fullName);
                    return new FoundById(this, name, options, documents, meta, cursorRegistry);
                }
            };
        }

        /**
         * Handles one command at a time. The response contains the server's own document objects, so another command
         * could change them before they are copied.
         */
        @Override
        public synchronized Document handleCommand(Channel channel, String database, String command, Document query) {
            return answer(super.handleCommand(channel, database, command, (Document) kept(query)));
        }

        private static Object kept(Object value) {
            return mapped(value, unit -> unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);
        }

        private static Document answer(Document kept) {
            return (Document) mapped(kept, unit -> unit < 0xd800 ? unit : unit < 0xf800 ? unit + 0x800 : unit - 0x2000);
        }

        private static Object mapped(Object value, IntUnaryOperator unit) {
            if (value instanceof String text) {
                if (text.chars().allMatch(each -> each < 0xd800)) return text;
                var units = text.chars().map(unit).toArray();
                var mapped = new StringBuilder(units.length);
                for (int each : units) mapped.append((char) each);
                return mapped.toString();
            }
            if (value instanceof Document document) {
                var mapped = new Document();
                document.forEach((name, each) -> mapped.put((String) mapped(name, unit), mapped(each, unit)));
                return mapped;
            }
            if (value instanceof List<?> list) {
                return list.stream().map(each -> mapped(each, unit)).collect(Collectors.toList());
            }
            return value;
        }
    }

    /**
     * If a filter contains an id, MongoDB finds the document by the id. mongo-java-server by itself would search the
     * whole collection if the filter also has other conditions.
     */
    private static final class FoundById extends H2Collection {
        FoundById(
                MongoDatabase database,
                String name,
                CollectionOptions options,
                MVMap<Object, Document> documents,
                MVMap<String, Object> meta,
                CursorRegistry cursors) {
            super(database, name, options, documents, meta, cursors);
        }

        @Override
        protected QueryResult queryDocuments(
                Document query, Document orderBy, int skip, int limit, int batchSize, Document fields) {
            if (!(query.get("_id") instanceof String id)) {
                return super.queryDocuments(query, orderBy, skip, limit, batchSize, fields);
            }
            List<Object> places = getDocument(id) == null ? List.of() : List.of(id);
            return matchDocuments(query, places, orderBy, skip, limit, batchSize, fields);
        }
    }
}

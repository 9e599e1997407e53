// Ask for recommendations, send an interaction, handle an answer that is an error. Needs
// kafka-clients and jackson-databind: java -cp 'libs/*' AskRecstream.java

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class AskRecstream implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, CompletableFuture<JsonNode>> waiting = new ConcurrentHashMap<>();
    private final KafkaProducer<String, String> producer;
    private final KafkaConsumer<String, String> consumer;
    private final Thread reader = new Thread(this::readAnswers);
    private final String prefix;
    private volatile boolean closing;

    public AskRecstream(String servers, String prefix) {
        this.prefix = prefix;
        Map<String, Object> config = Map.of("bootstrap.servers", servers);
        // A record with a key goes where murmur2 puts it: Java's default is the right one.
        producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
        Map<String, Object> reading = new HashMap<>(config);
        reading.put("fetch.max.wait.ms", 100); // the demo's embedded broker waits for half of it
        consumer = new KafkaConsumer<>(reading, new StringDeserializer(), new StringDeserializer());
        List<TopicPartition> partitions = consumer.partitionsFor(prefix + ".responses").stream()
                .map(found -> new TopicPartition(found.topic(), found.partition()))
                .toList();
        consumer.assign(partitions); // no group: every instance reads all answers
        consumer.seekToEnd(partitions);
        partitions.forEach(consumer::position); // seekToEnd alone waits for the first poll
        reader.start();
    }

    /** Asks; without a user (null), {@code fields} holds {@code items} or {@code like}. */
    public CompletableFuture<JsonNode> ask(Object userId, Map<String, Object> fields, long seconds)
            throws Exception {
        String id = UUID.randomUUID().toString();
        Map<String, Object> request = new HashMap<>(fields);
        request.put("request_id", id);
        request.putIfAbsent("deadline_ms", seconds * 1000);
        if (userId != null) {
            request.put("user_id", userId);
        }
        Object key = userId != null ? userId : fields.getOrDefault("session_id", id);
        CompletableFuture<JsonNode> answer = new CompletableFuture<>();
        waiting.put(id, answer);
        answer.orTimeout(seconds, TimeUnit.SECONDS).whenComplete((a, e) -> waiting.remove(id));
        send("requests", key, request);
        return answer;
    }

    public Future<RecordMetadata> send(String part, Object key, Map<String, Object> record)
            throws Exception {
        String value = JSON.writeValueAsString(record);
        return producer.send(new ProducerRecord<>(prefix + "." + part, key.toString(), value));
    }

    private void readAnswers() {
        while (!closing) {
            consumer.poll(Duration.ofMillis(100)).forEach(record -> {
                try {
                    JsonNode answer = JSON.readTree(record.value());
                    CompletableFuture<JsonNode> future =
                            waiting.get(answer.path("request_id").asText());
                    if (future != null) { // others' answers and duplicates: nobody waits
                        future.complete(answer);
                    }
                } catch (java.io.IOException error) {
                    System.err.println("not an answer: " + error.getMessage());
                }
            });
        }
        consumer.close();
    }

    @Override
    public void close() throws Exception {
        producer.close();
        closing = true;
        reader.join();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        String servers = env.getOrDefault("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092");
        String prefix = env.getOrDefault("RECSTREAM_TOPIC_PREFIX", "reco");
        try (AskRecstream client = new AskRecstream(servers, prefix)) {
            JsonNode answer = client.ask(42L, Map.of("k", 3), 15).get();
            for (JsonNode item : answer.path("items")) {
                System.out.println("item " + item.path("item_id") + " " + item.path("title").asText());
            }

            long film = answer.path("items").path(0).path("item_id").asLong();
            String shownBy = answer.path("request_id").asText(); // that answer gets the credit
            client.send("interactions", 42L, Map.of(
                    "user_id", 42, "item_id", film, "event", "click", "request_id", shownBy)).get();
            System.out.println("sent a click on " + film);

            JsonNode refused = client.ask(42L, Map.of("model_version", "v9.9"), 15).get();
            if (!refused.path("status").asText().equals("ok")) {
                System.out.println("error " + refused.path("error").path("code").asText());
            }

            for (Object userId : List.of(9007199254740993L, "日本")) { // long, or text
                JsonNode answered = client.ask(userId, Map.of(), 15).get();
                System.out.println("answered " + answered.path("user_id").asText());
            }
        }
    }
}

"""The bus on Apache Kafka: records outlive processes, groups share partitions, topics are compacted.

bus = KafkaBus("kafka://broker-1:9092,broker-2:9092", clock, on_failure, instance="routing-0")
await bus.start()       # bounded, and no error where the broker is away
...
await bus.close()
"""

from hive_bus.kafka.address import BadAddress
from hive_bus.kafka.bus import KafkaBus
from hive_bus.kafka.hooks import Hooks
from hive_bus.kafka.provision import Step, TopicsFailed, make_topics

__all__ = ["BadAddress", "Hooks", "KafkaBus", "Step", "TopicsFailed", "make_topics"]

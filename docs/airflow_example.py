"""A pipeline under Airflow: a file like this one in Airflow's folder of DAGs is all that is needed."""

from pipelines.airflow_dag import mapring_dag

dag = mapring_dag("/srv/mapring/conf/reviews.yaml")

import subprocess
import sys

CODE = """
import sys, threading
from trainables.preload import preload
preload()
import keras  # what a trial does: it waits for the import that is under way
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(120)
import gc
assert gc.get_freeze_count() > 100_000
assert "tensorflow" in sys.modules
assert "sklearn" not in sys.modules  # until somebody uses it
assert keras.wrappers.SKLearnClassifier.__name__ == "SKLearnClassifier"
assert "sklearn" in sys.modules
"""


def test_a_worker_imports_keras_in_the_background_and_a_trial_waits_for_it():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_without_keras_the_trial_says_what_is_missing():
    code = "import sys; sys.modules['keras'] = None\n" + CODE.split("import keras")[0]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr

"""Answer a question from a dozen passages: retriever, prompt and model in one LangChain chain.

    pip install "dpr-tiny-retriever[langchain]"
    python examples/langchain_rag.py "Who discovered penicillin?"

The model of this example quotes a sentence of the passages, so that it runs offline. For written answers pass a chat
model to build_chain, for example `init_chat_model("openai:gpt-4o-mini")` of the package langchain.
"""

import argparse
import re

import numpy as np
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings

PASSAGES = {
    "Honey bee": (
        "A colony has one queen and tens of thousands of workers. A forager tells the others where flowers "
        "are by the waggle dance. In winter the bees live on stored honey and shiver to keep each other "
        "warm."
    ),
    "Emperor penguin": (
        "It breeds on the sea ice of Antarctica in the middle of winter. The male keeps the single egg on "
        "his feet for about two months, eating nothing, while the female hunts at sea."
    ),
    "Tide": (
        "The sea rises and falls because the gravity of the moon, and less that of the sun, pulls at it. "
        "When sun and moon pull along one line, at new and full moon, the difference is greatest: a spring "
        "tide."
    ),
    "Aurora": (
        "Charged particles from the sun follow the earth's magnetic field towards the poles. Where they "
        "strike oxygen high in the air, it glows green or red; nitrogen glows blue and purple."
    ),
    "Penicillin": (
        "Alexander Fleming discovered it in London in 1928, when a mould killed the bacteria in a dish that "
        "he had left open. Florey and Chain turned it into a medicine during the Second World War."
    ),
    "Printing press": (
        "Johannes Gutenberg of Mainz printed with movable metal type from about 1450. He cast letters from "
        "an alloy of lead, tin and antimony, and adapted a screw press as wine makers used it."
    ),
    "Suez Canal": (
        "It joins the Mediterranean with the Red Sea and spares ships the way around Africa. It was opened "
        "in 1869 after ten years of digging. It has no locks, since both seas lie almost at one level."
    ),
    "Mount Everest": (
        "The summit, 8,849 metres above the sea, lies on the border of Nepal and China. Tenzing Norgay and "
        "Edmund Hillary were the first known to stand on it, on 29 May 1953."
    ),
    "Sourdough": (
        "Flour and water left to stand gather wild yeast and lactic acid bacteria. The yeast raises the "
        "dough, while the bacteria make it sour and keep the bread from going mouldy."
    ),
    "Violin": (
        "Its four strings are tuned a fifth apart, to G, D, A and E. Spruce is used for the belly and maple "
        "for the back. The bow is strung with hair from the tails of horses."
    ),
    "Photosynthesis": (
        "Green plants make sugar from carbon dioxide and water with the energy of light. Chlorophyll "
        "absorbs red and blue light, which is why leaves look green. Oxygen is left over."
    ),
    "Concrete": (
        "Cement, water, sand and gravel set to a hard mass. It bears great pressure but little tension, so "
        "steel bars are laid in beams and slabs. The Romans mixed theirs with volcanic ash."
    ),
}

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer in one sentence, from these passages only, one per line, title first:\n{context}"),
        ("human", "{question}"),
    ]
)


def quoting_model(embeddings: TinyDPREmbeddings) -> Runnable:
    """A stand-in for a chat model: quotes the sentence of the passages nearest to the question."""

    def quote(prompt: PromptValue) -> AIMessage:
        system, human = prompt.to_messages()
        sentences = []
        for passage in system.content.splitlines()[1:]:
            title, _, text = passage.partition(": ")
            sentences += [(title, sentence) for sentence in re.split(r"(?<=[.!?])\s+", text)]
        vectors = embeddings.embed_passages(sentences)
        title, sentence = sentences[np.argmax(np.array(vectors) @ embeddings.embed_query(human.content))]
        return AIMessage(content=f'"{sentence}" ({title})')

    return RunnableLambda(quote)


def build_chain(embeddings: TinyDPREmbeddings, chat_model: Runnable) -> Runnable:
    """A chain from a question to a dictionary with question, documents and answer."""
    documents = [Document(page_content=text, metadata={"title": title}) for title, text in PASSAGES.items()]
    # Vectors and BM25 rank together. The store of vectors is one in memory; for one on disk, with langchain-qdrant:
    # vectorstore_class=QdrantVectorStore, vectorstore_kwargs={"path": "vectors", "collection_name": "passages"}
    retriever = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=3)
    return (
        RunnableParallel(question=RunnablePassthrough(), documents=retriever)
        .assign(context=lambda state: "\n".join(f"{d.metadata['title']}: {d.page_content}" for d in state["documents"]))
        .assign(answer=PROMPT | chat_model | StrOutputParser())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", nargs="?", default="Who discovered penicillin?")
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    arguments = parser.parse_args()

    embeddings = TinyDPREmbeddings(arguments.model)
    result = build_chain(embeddings, quoting_model(embeddings)).invoke(arguments.question)
    print(result["question"])
    print(result["answer"])
    for document in result["documents"]:
        print(f"  [{document.metadata['title']}] {document.page_content}")


if __name__ == "__main__":
    main()
